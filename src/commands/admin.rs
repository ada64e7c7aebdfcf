//! `rollcall admin`: the first admin, and a way back in.

use std::io::{self, Read};
use std::process::ExitCode;

use anyhow::{Context, bail};
use rollcall_control_api::{MAX_PASSWORD, NewSecret, Role, SecretKind, hash_password, password_fault};
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_store::{AccountFields, Actor, Grants, StoreError};
use serde_json::json;

use crate::cli::{AdminCommand, PasswordSource, Place};
use crate::{database, output};

pub(super) fn run(place: &Place, command: AdminCommand) -> anyhow::Result<ExitCode> {
    match command {
        AdminCommand::Create { login, name, password } => create(place, login, name, &password),
        AdminCommand::ResetPassword { login, password } => reset(place, &login, &password),
    }
}

/// Whoever types a command.
pub(super) fn actor() -> Actor {
    Actor::system("command line")
}

fn create(place: &Place, login: String, name: Option<String>, source: &PasswordSource) -> anyhow::Result<ExitCode> {
    let name = name.unwrap_or_else(|| login.clone());
    for (what, text) in [("login", &login), ("name", &name)] {
        if text.trim() != text || !(1..=200).contains(&text.chars().count()) || text.chars().any(char::is_control) {
            bail!("the {what} must be 1 to 200 characters, without control characters or spaces around it");
        }
    }
    let password = Password::from(source, &login)?;
    let hash = hash_password(&password.text).context("the password cannot be hashed")?;
    let fields = AccountFields {
        login: login.clone(),
        name,
        role: Role::Admin.as_str().to_owned(),
        person: None,
        grants: Grants { everywhere: true, ..Grants::default() },
        disabled_at: None,
    };
    let (config, _) = place.load_config()?;
    database::with_store(place, &config, async |store, today| {
        store.prepare(today).await?;
        let mut change = store.change(actor()).await?;
        change.hold_admins().await?;
        change.add_account(&fields, Some(&hash)).await.map_err(|error| taken(error, &login))?;
        Ok(change.commit().await?)
    })?;
    password.tell(source, &login, "can log in")
}

fn reset(place: &Place, login: &str, source: &PasswordSource) -> anyhow::Result<ExitCode> {
    let password = Password::from(source, login)?;
    let hash = hash_password(&password.text).context("the password cannot be hashed")?;
    let (config, _) = place.load_config()?;
    database::with_store(place, &config, async |store, today| {
        store.prepare(today).await?;
        let nobody = || {
            format!(
                "no account with the login {login:?} is in use: GET /api/v1/accounts lists them, and `rollcall admin create` \
                 makes an admin"
            )
        };
        let known = store.credentials(login).await?.with_context(nobody)?;
        let mut change = store.change(actor()).await?;
        let account = change.lock_account(known.id).await?.with_context(nobody)?;
        change.set_password(&account, Some(&hash), password.made).await?;
        change.revoke_logins(known.id, None, SystemClock.wall(), "admin").await?;
        Ok(change.commit().await?)
    })?;
    password.tell(source, login, "has a new password, and all logins before it ended")
}

fn taken(error: StoreError, login: &str) -> anyhow::Error {
    if error.sqlstate().as_deref() == Some("23505") {
        return anyhow::anyhow!("{login:?} is there already: rollcall admin reset-password --login {login}");
    }
    error.into()
}

struct Password {
    text: String,
    /// By us, and not by the one who typed the command.
    made: bool,
}

impl Password {
    fn from(source: &PasswordSource, login: &str) -> anyhow::Result<Self> {
        if !source.password_stdin {
            // The letters that say what kind of secret it is say nothing here.
            let text = NewSecret::random(SecretKind::Link)?.told()[4..28].to_owned();
            return Ok(Self { text, made: true });
        }
        let mut text = String::new();
        // Four bytes a character, and a line break.
        io::stdin().take(4 * MAX_PASSWORD as u64 + 2).read_to_string(&mut text).context("cannot read the password")?;
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        if let Some(fault) = password_fault(&text, login) {
            bail!("the password {fault}");
        }
        Ok(Self { text, made: false })
    }

    fn tell(&self, source: &PasswordSource, login: &str, what: &str) -> anyhow::Result<ExitCode> {
        let told = self.made.then_some(self.text.as_str());
        if source.json {
            output::json(&json!({ "login": login, "password": told }))?;
        } else {
            output::line(format_args!("{login} {what}"));
            if let Some(password) = told {
                output::line(format_args!("password: {password}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
