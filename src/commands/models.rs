//! `rollcall models`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use rollcall_models::{
    FaceMesh, FileReport, FileState, FrLiveness, Manifest, MiniFas, ModelError, Models, SFace, YuNet, install,
    inventory, setup,
};
use serde::Serialize;

use crate::cli::{ModelsCommand, Place};
use crate::compose::open_models;
use crate::{output, paths};

pub(super) fn run(place: &Place, command: ModelsCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelsCommand::List { json } => list(place, json, false),
        ModelsCommand::Verify { json } => list(place, json, true),
        ModelsCommand::Fetch => fetch(place),
        ModelsCommand::Install { file, json } => take_in(place, &file, json),
    }
}

#[derive(Serialize)]
struct Row {
    id: String,
    job: String,
    licence: String,
    path: String,
    state: &'static str,
    detail: String,
    operator_supplied: bool,
}

impl Row {
    fn new(report: &FileReport) -> Self {
        let (state, detail) = match &report.state {
            FileState::InPlace { bytes } => ("in place", format!("{:.1} MB", *bytes as f64 / 1e6)),
            FileState::Missing if report.operator_supplied => {
                ("not installed", "optional: rollcall models install FILE".to_owned())
            }
            FileState::Missing => ("missing", "run `make setup` or `rollcall models fetch`".to_owned()),
            FileState::Altered { found } => {
                ("altered", format!("its sha256 is {found}: delete it and run `rollcall models fetch`"))
            }
            FileState::Unreadable { reason } => ("unreadable", reason.clone()),
        };
        Self {
            id: report.id.clone(),
            job: report.job.clone(),
            licence: report.licence.clone(),
            path: report.path.display().to_string(),
            state,
            detail,
            operator_supplied: report.operator_supplied,
        }
    }
}

/// Both commands read every byte; `verify` also loads each network, which checks its tensors, and fails if one is not fine.
fn list(place: &Place, json: bool, verify: bool) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    let (dir, operator_dir) = (place.models_dir(&config)?, place.operator_models_dir()?);
    let reports = inventory(&Manifest::pinned()?, &dir, &operator_dir)?;
    let rows: Vec<_> = reports.iter().map(Row::new).collect();
    if json {
        output::json(&rows)?;
    } else {
        let heading = ["MODEL", "FOR", "LICENCE", "STATE", ""].map(str::to_owned).to_vec();
        let cells = rows
            .iter()
            .map(|r| vec![r.id.clone(), r.job.clone(), r.licence.clone(), r.state.to_owned(), r.detail.clone()]);
        output::line(output::table(&std::iter::once(heading).chain(cells).collect::<Vec<_>>()));
    }
    if !verify {
        return Ok(ExitCode::SUCCESS);
    }
    if reports.iter().any(|report| !report.is_fine()) {
        bail!("not every model is in place: the list says what to do");
    }
    let models = open_models(&dir, &config.models)?.with_operator_dir(operator_dir);
    load_all(&models)?;
    let fallbacks: Vec<_> =
        reports.iter().filter_map(|report| Some((&report.id, models.fallback(&report.id)?))).collect();
    if let Some((id, reason)) = fallbacks.first() {
        let (n, provider) = (fallbacks.len(), models.provider());
        bail!("{n} models cannot run on {provider} and run on the processor in 32 bits; the first, {id}: {reason}");
    }
    Ok(ExitCode::SUCCESS)
}

fn load_all(models: &Models) -> Result<(), ModelError> {
    YuNet::load(models, 1)?;
    SFace::load(models, 1)?;
    SFace::load(&models.in_32_bits(), 1)?;
    FrLiveness::load(models, 1)?;
    FaceMesh::load(models, 1)?;
    match MiniFas::load(models, 1) {
        Err(ModelError::NotInstalled { .. }) => Ok(()),
        other => other.map(drop),
    }
}

fn fetch(place: &Place) -> anyhow::Result<ExitCode> {
    let root =
        paths::source_root().context("there is no scripts/setup.sh here: run this in the source tree of Rollcall")?;
    let (config, _) = place.load_config()?;
    let dir = config.models.dir.clone().unwrap_or_else(|| setup::cache_dir(&root));
    setup::fetch(&root, &dir)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Installed {
    id: String,
}

fn take_in(place: &Place, file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let id = install(&Manifest::pinned()?, file, &place.operator_models_dir()?)?;
    if json {
        output::json(&Installed { id })?;
    } else {
        output::line(format_args!("{id} is installed; restart a running daemon to use it"));
    }
    Ok(ExitCode::SUCCESS)
}
