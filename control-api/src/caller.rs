//! Who asks: read from the token or the key of the request. A handler that takes no [`Caller`] is open to everybody, and
//! a test names those that are.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use rollcall_pipeline::PersonId;
use rollcall_store::{Actor, ActorKind, Holder, HolderKind, Scope};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::problem::Problem;
use crate::rights::{Right, Role};
use crate::state::Api;

/// Header of keys.
pub const API_KEY_HEADER: &str = "x-api-key";
/// Header of request ids.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// Longest token or key that is looked at.
const MAX_SECRET: usize = 200;

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
        Err(Problem::forbidden(format!("this needs the right {}", right.as_str())))
    }

    /// Whether they have `right`.
    pub fn may(&self, right: Right) -> bool {
        !self.must_change_password && self.rights.contains(&right)
    }

    /// What they may do.
    pub fn rights(&self) -> &[Right] {
        &self.rights
    }

    /// Whose record is all they see.
    pub fn person(&self) -> Option<PersonId> {
        match self.scope {
            Scope::Person(person) => Some(person),
            Scope::Everywhere | Scope::Places { .. } => None,
        }
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
            address: address(parts).map(|a| a.ip().to_string()),
            request_id: parts.headers.get(REQUEST_ID_HEADER).and_then(|id| id.to_str().ok()).map(str::to_owned),
        }
    }
}

/// Where a request comes from.
pub(crate) fn address(parts: &Parts) -> Option<SocketAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
}

/// The digest under which a token or key is kept.
pub fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        // Middleware that asked first left it here.
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let now = api.clock.wall();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let holder = if let Some(key) = header(API_KEY_HEADER) {
            let key = key.trim();
            if key.len() > MAX_SECRET {
                return Err(Problem::unauthorized("this is no key of ours"));
            }
            api.store.api_key_by_digest(&digest(key), now).await?
        } else if let Some(value) = header(AUTHORIZATION.as_str()) {
            let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let Some((_, token)) = token.filter(|(_, token)| token.len() <= MAX_SECRET) else {
                return Err(Problem::unauthorized("send Authorization: Bearer TOKEN, or X-API-Key: KEY"));
            };
            api.store.account_by_access_token(&digest(token.trim()), now).await?
        } else {
            return Err(Problem::unauthorized("send Authorization: Bearer TOKEN, or X-API-Key: KEY"));
        };
        let holder = holder.ok_or_else(|| Problem::unauthorized("the token or key is unknown, expired or revoked"))?;
        let caller = Self::of(holder, parts);
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}
