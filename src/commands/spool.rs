//! `rollcall spool`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;
use rollcall_pipeline::WallTime;
use rollcall_sinks::rejected::{self, Refusal};
use rollcall_store::Sealer;
use serde::Serialize;

use crate::cli::{Place, SpoolCommand};
use crate::{database, output, paths};

pub(super) fn run(place: &Place, command: SpoolCommand) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    let data_dir = place.data_dir()?;
    let dir = data_dir.join(paths::SPOOL);
    // Nothing is made where there is nothing, least of all a key.
    ensure!(dir.is_dir(), "there is no spool in {}: name the daemon's with --data-dir", data_dir.display());
    let sealer = database::sealer(&config, &data_dir)?;
    match command {
        SpoolCommand::List { json } => list(&sealer, &dir, json),
        SpoolCommand::Retry { json } => {
            let events = rejected::retry(&dir, config.spool.max_bytes, &sealer)?;
            if json {
                output::json(&Retried { events })?;
            } else {
                let back = output::counted(events, "event");
                output::line(format!("{back} put back into the spool: the next `rollcall run` writes what is there"));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(sealer: &Sealer, dir: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let refusals = rejected::list(dir, sealer)?;
    let rows: Vec<_> = refusals.into_iter().map(Row::from).collect();
    if json {
        output::json(&rows)?;
    } else if rows.is_empty() {
        output::line("the database has refused nothing");
    } else {
        let heading = ["REFUSED", "EVENT", "KIND", "CAMERA", "SEEN", "WHY"].map(str::to_owned).to_vec();
        let time = |at: Option<WallTime>| at.map(|at| at.format("%F %T").to_string()).unwrap_or_default();
        let cells = rows.iter().map(|row| {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            vec![
                time(row.refused_at),
                text(&row.event_id),
                text(&row.kind),
                text(&row.camera),
                time(row.captured_at),
                row.reason.clone(),
            ]
        });
        output::line(output::table(&std::iter::once(heading).chain(cells).collect::<Vec<_>>()));
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Retried {
    events: usize,
}

#[derive(Serialize)]
struct Row {
    refused_at: Option<WallTime>,
    event_id: Option<String>,
    kind: Option<String>,
    camera: Option<String>,
    captured_at: Option<WallTime>,
    reason: String,
}

impl From<Refusal> for Row {
    fn from(refusal: Refusal) -> Self {
        let Refusal { at, event, reason } = refusal;
        let event = event.as_ref();
        Self {
            refused_at: at,
            event_id: event.map(|event| event.id.to_string()),
            kind: event.map(|event| event.kind.clone()),
            camera: event.map(|event| event.camera.clone()),
            captured_at: event.map(|event| event.captured_at),
            reason,
        }
    }
}
