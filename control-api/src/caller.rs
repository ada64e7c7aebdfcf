//! Who asks: read from the token or the key of the request. A handler that takes no [`Caller`] is open to everybody, and
//! a test names those that are.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use axum::http::request::Parts;
use rollcall_pipeline::PersonId;
use rollcall_store::{Actor, ActorKind, Holder, HolderKind, Scope, StoreError};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::guard::{ClientAddress, Refused};
use crate::holders::Digest;
use crate::problem::Problem;
use crate::rights::{Right, Role};
use crate::state::Api;

/// Header of keys.
pub const API_KEY_HEADER: &str = "x-api-key";
/// Header of request ids.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// Longest token or key that is looked at.
const MAX_SECRET: usize = 200;
/// What is kept of the name of a program.
const MAX_AGENT: usize = 200;
/// What is kept of a request id.
const MAX_REQUEST_ID: usize = 100;
/// Told to whoever sends nothing …
const HOW: &str = "send Authorization: Bearer TOKEN, or X-API-Key: KEY";
/// … and who sent what is good no more.
const OVER: &str = "the token or key is unknown, expired or revoked: log in again, or take another key";

/// Whoever asks, with what they may do and see.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Account or key.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The role, of people.
    pub role: Option<Role>,
    /// The login, of people.
    pub login: Option<Uuid>,
    /// Where they may look.
    pub scope: Scope,
    /// Requests a minute, if the key has a limit of its own.
    pub rate_per_minute: Option<u32>,
    must_change_password: bool,
    rights: Vec<Right>,
    address: Option<String>,
    request_id: Option<String>,
}

impl Caller {
    /// Refuses who does not have `right`.
    ///
    /// # Errors
    /// 403.
    pub fn need(&self, right: Right) -> Result<(), Problem> {
        if self.must_change_password {
            return Err(Problem::forbidden("change your password first: POST /api/v1/auth/password"));
        }
        if self.rights.contains(&right) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("this needs the right {}; /api/v1/auth/me shows yours", right.as_str())))
    }

    /// Whether they have `right`.
    pub fn may(&self, right: Right) -> bool {
        !self.must_change_password && self.rights.contains(&right)
    }

    /// What they may do.
    pub fn rights(&self) -> &[Right] {
        &self.rights
    }

    /// Whether nothing but a change of the password is allowed.
    pub(crate) fn must_change_password(&self) -> bool {
        self.must_change_password
    }

    /// Refuses who would give somebody rights that they do not have themselves.
    ///
    /// # Errors
    /// 403.
    pub fn need_all(&self, rights: &[Right]) -> Result<(), Problem> {
        match rights.iter().find(|right| !self.may(**right)) {
            Some(right) => {
                Err(Problem::forbidden(format!("nobody gives what they do not have: the right {}", right.as_str())))
            }
            None => Ok(()),
        }
    }

    /// Whose record is all they see.
    pub fn person(&self) -> Option<PersonId> {
        match self.scope {
            Scope::Person(person) => Some(person),
            Scope::Everywhere | Scope::Places { .. } => None,
        }
    }

    /// Whose record is theirs.
    ///
    /// # Errors
    /// 404 of whoever sees more than one.
    pub(crate) fn own(&self) -> Result<PersonId, Problem> {
        self.person().ok_or_else(|| Problem::not_found("record: this account belongs to no person"))
    }

    /// Refuses who is limited to some places: for what belongs to the whole installation.
    ///
    /// # Errors
    /// 403.
    pub fn need_everywhere(&self) -> Result<(), Problem> {
        if self.scope == Scope::Everywhere {
            return Ok(());
        }
        Err(Problem::forbidden("this concerns the whole installation, and you are limited to some places"))
    }

    /// As the author of a change.
    pub fn actor(&self) -> Actor {
        Actor {
            kind: if self.role.is_some() { ActorKind::Account } else { ActorKind::ApiKey },
            id: Some(self.id),
            name: self.name.clone(),
            address: self.address.clone(),
            request_id: self.request_id.clone(),
        }
    }

    fn of(holder: Holder, parts: &Parts) -> Self {
        let (role, login, must_change_password, rights, rate_per_minute) = match holder.kind {
            HolderKind::Account { role, login, must_change_password } => {
                let role = Role::of(&role);
                let rights = role.map_or(&[][..], Role::rights).to_vec();
                (role, Some(login), must_change_password, rights, None)
            }
            HolderKind::ApiKey { rights, rate_per_minute } => {
                let rights = rights.iter().filter_map(|name| Right::of(name)).collect();
                (None, None, false, rights, rate_per_minute)
            }
        };
        Self {
            id: holder.id,
            name: holder.name,
            role,
            login,
            scope: holder.scope,
            rate_per_minute,
            must_change_password,
            rights,
            address: address(parts).map(|address| address.to_string()),
            request_id: request_id(parts),
        }
    }
}

fn address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ClientAddress>().map(|address| address.0)
}

/// Bounded: callers choose it, and it is kept.
fn request_id(parts: &Parts) -> Option<String> {
    let id = parts.headers.get(REQUEST_ID_HEADER)?.to_str().ok()?;
    Some(id.chars().take(MAX_REQUEST_ID).collect())
}

/// The digest under which a token or key is kept.
pub fn digest(secret: &str) -> Digest {
    Sha256::digest(secret.as_bytes()).into()
}

/// What is remembered of it, or else what `ask` says.
async fn known(
    api: &Api,
    digest: Digest,
    ask: impl Future<Output = Result<Option<Holder>, StoreError>>,
) -> Result<Option<Holder>, StoreError> {
    let asked = match api.access.holders.get(&digest, api.clock.mono()) {
        Ok(holder) => return Ok(Some(holder)),
        Err(asked) => asked,
    };
    let holder = ask.await?;
    if let Some(holder) = &holder {
        api.access.holders.put(digest, asked, holder);
    }
    Ok(holder)
}

impl Caller {
    /// Whoever's token or key a request carries; `None` if it carries neither.
    pub(crate) async fn find(parts: &Parts, api: &Api) -> Result<Option<Self>, Problem> {
        let now = api.clock.wall();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let holder = if let Some(key) = header(API_KEY_HEADER) {
            let key = key.trim();
            if key.len() > MAX_SECRET {
                return Err(Problem::unauthorized("this is no key of ours: send what was shown when it was made"));
            }
            let digest = digest(key);
            let holder = known(api, digest, api.store.api_key_by_digest(&digest, now)).await?;
            if let Some(key) = holder.as_ref().filter(|key| api.access.touch(key.id, now)).map(|key| key.id) {
                let store = api.store.clone();
                tokio::spawn(async move {
                    if let Err(error) = store.touch_api_key(key, now).await {
                        tracing::warn!(%error, "when a key was last used was not written");
                    }
                });
            }
            holder
        } else if let Some(value) = header(AUTHORIZATION.as_str()) {
            let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let Some((_, token)) = token.filter(|(_, token)| token.len() <= MAX_SECRET) else {
                return Err(Problem::unauthorized(HOW));
            };
            let digest = digest(token.trim());
            known(api, digest, api.store.account_by_access_token(&digest, now)).await?
        } else {
            return Ok(None);
        };
        let holder = holder.ok_or_else(|| Problem::unauthorized(OVER))?;
        Ok(Some(Self::of(holder, parts)))
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    /// As the guard found it.
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let refused = parts.extensions.get::<Refused>().map(|refused| refused.0.clone());
        Err(refused.unwrap_or_else(|| Problem::unauthorized(HOW)))
    }
}

/// Somebody who has not said who they are.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// Where they are.
    pub(crate) address: Option<IpAddr>,
    /// Their program.
    pub(crate) user_agent: Option<String>,
    request_id: Option<String>,
}

impl Visitor {
    /// As the author of a change, once it is known who it is.
    pub(crate) fn actor(&self, kind: ActorKind, id: Option<Uuid>, name: &str) -> Actor {
        Actor {
            kind,
            id,
            name: name.to_owned(),
            address: self.address.map(|address| address.to_string()),
            request_id: self.request_id.clone(),
        }
    }
}

impl FromRequestParts<Arc<Api>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Infallible> {
        let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(Self {
            address: address(parts),
            user_agent: agent.map(|agent| agent.chars().take(MAX_AGENT).collect()),
            request_id: request_id(parts),
        })
    }
}
