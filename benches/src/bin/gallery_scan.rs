//! A gallery of random templates that is searched on request, so that `peers/gallery.py` can measure it and a peer in turn.
//!
//! Each line of standard input is a batch size; each answer is a line of JSON.

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use rollcall_benches::{Numbers, thread_cpu};
use rollcall_pipeline::ports::Matcher;
use rollcall_pipeline::{Embedding, GalleryVersion, ModelId, PersonId};
use rollcall_stages::matching::Gallery;
use serde_json::json;
use uuid::Uuid;

/// Probes to choose batches from.
const PROBES: usize = 32;
/// Probes whose answers are compared with those of the exact scan before anything is measured.
const CHECKED: usize = 4;
/// So long is measured at least: the kernel counts a running thread's time in steps of some milliseconds.
const LEAST: Duration = Duration::from_millis(250);

#[derive(Parser)]
#[command(about = "Searches a gallery of random templates on request; see benches/peers/gallery.py")]
struct Options {
    /// Values a template.
    #[arg(long)]
    dimension: usize,
    /// Templates, each of a person of its own.
    #[arg(long)]
    templates: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let (model, mut numbers) = (ModelId::new("bench"), Numbers::default());
    let person = |i: usize| PersonId(Uuid::from_u128(i as u128));
    let templates = (0..options.templates).map(|i| (person(i), numbers.embedding(&model, options.dimension)));
    let gallery = Gallery::new(GalleryVersion(1), model.clone(), templates)?;
    let probes: Vec<Embedding> = (0..PROBES).map(|_| numbers.embedding(&model, options.dimension)).collect();

    let everybody: Vec<PersonId> = (0..options.templates).map(person).collect();
    let in_batches = gallery.nearest_each(&probes.iter().collect::<Vec<_>>(), 2);
    for (probe, in_batch) in probes.iter().zip(in_batches).take(CHECKED) {
        // Among people who are named one by one the search is exact.
        let exact = gallery.rank(probe, Some(&everybody)).expected;
        for found in [in_batch, gallery.nearest_each(&[probe], 2).concat()] {
            ensure!(found == exact, "the scan finds {found:?}, not {exact:?}");
        }
    }

    let mut out = std::io::stdout().lock();
    let mut answer = |value: serde_json::Value| -> anyhow::Result<()> {
        writeln!(out, "{value}")?;
        Ok(out.flush()?)
    };
    answer(json!({ "templates": gallery.templates() }))?;
    for line in std::io::stdin().lock().lines() {
        let batch: usize = line?.trim().parse().context("a batch size")?;
        ensure!((1..=PROBES).contains(&batch), "a batch has 1 to {PROBES} probes");
        let (began, mut took) = (thread_cpu()?, Duration::ZERO);
        let (mut done, mut next) = (0usize, 1usize);
        while took < LEAST {
            for i in done..done + next {
                let first = i * batch % (PROBES - batch + 1);
                let batch: Vec<&Embedding> = probes[first..first + batch].iter().collect();
                std::hint::black_box(gallery.nearest_each(&batch, 2));
            }
            done += next;
            next = done;
            took = thread_cpu()?.saturating_sub(began);
        }
        answer(json!({ "microseconds_a_probe": took.as_secs_f64() * 1e6 / (batch * done) as f64 }))?;
    }
    Ok(())
}
