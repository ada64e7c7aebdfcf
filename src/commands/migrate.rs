//! `rollcall migrate`.

use std::process::ExitCode;

use serde::Serialize;

use crate::cli::Place;
use crate::{database, output};

#[derive(Serialize)]
struct Migrated {
    /// Migrations that were applied; 0 when the database was up to date.
    applied: usize,
}

pub(super) fn run(place: &Place, json: bool) -> anyhow::Result<ExitCode> {
    let (config, _) = place.load_config()?;
    let applied = database::with_store(place, &config, async |store, today| {
        let applied = store.migrate().await?;
        store.make_partitions(today).await?;
        Ok(applied)
    })?;
    if json {
        output::json(&Migrated { applied })?;
    } else {
        output::line(match applied {
            0 => "the database is up to date".to_owned(),
            n => format!("{} applied", output::counted(n, "migration")),
        });
    }
    Ok(ExitCode::SUCCESS)
}
