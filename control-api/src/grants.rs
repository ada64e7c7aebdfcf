//! Where an account or a key may look, as it is read from a body.

use rollcall_pipeline::PersonId;
use rollcall_store::{Change, Grants, Missing};

use crate::problem::Problem;
use crate::validate::{Checks, is_slug};

/// Most sites or rooms of one account or key.
pub(crate) const MAX_PLACES: usize = 200;

/// Sorted, each once, and none where everything is allowed.
pub(crate) fn tidy(grants: &mut Grants) {
    for places in [&mut grants.sites, &mut grants.rooms] {
        places.sort_unstable();
        places.dedup();
    }
}

/// Notes what cannot be: unknown places, or lists beside `everywhere`.
pub(crate) async fn check(
    change: &mut Change<'_>,
    checks: &mut Checks,
    grants: &Grants,
    person: Option<PersonId>,
) -> Result<(), Problem> {
    let mut readable = true;
    for (pointer, places) in [("/sites", &grants.sites), ("/rooms", &grants.rooms)] {
        if places.len() > MAX_PLACES {
            checks.add(pointer, format!("more than {MAX_PLACES}"));
            readable = false;
        }
        if let Some(odd) = places.iter().position(|place| !is_slug(place)) {
            checks.add(&format!("{pointer}/{odd}"), "no id: 1 to 40 of a-z, 0-9, - and _");
            readable = false;
        }
        if grants.everywhere && !places.is_empty() {
            checks.add(pointer, "must be empty where everywhere is true");
        }
    }
    if readable {
        let Missing { sites, rooms, person } = change.missing(grants, person).await?;
        for (pointer, missing, what) in [("/sites", sites, "site"), ("/rooms", rooms, "room")] {
            missing.iter().for_each(|id| checks.add(pointer, format!("there is no {what} {id}")));
        }
        if person {
            checks.add("/person_id", "there is no such person");
        }
    }
    Ok(())
}
