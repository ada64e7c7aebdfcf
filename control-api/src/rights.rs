//! What a caller may do, and which role may do what.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Declares the rights with their names.
macro_rules! rights {
    ($($(#[$doc:meta])* $right:ident = $name:tt,)*) => {
        /// Something that a caller may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        pub enum Right {
            $($(#[$doc])* #[serde(rename = $name)] $right,)*
        }

        impl Right {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$right,)*];

            /// Its name, as keys and the API have it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$right => $name,)*
                }
            }
        }
    };
}

rights! {
    /// See cameras, their state and their pictures.
    CamerasRead = "cameras:read",
    /// Add, change, remove and probe cameras; not limited to places: find them.
    CamerasWrite = "cameras:write",
    /// See sites, rooms, courses, timetables and sessions.
    PlacesRead = "places:read",
    /// Change them.
    PlacesWrite = "places:write",
    /// See people and groups.
    PeopleRead = "people:read",
    /// Add, change, enrol and erase people.
    PeopleWrite = "people:write",
    /// See pictures of faces.
    FacesView = "faces:view",
    /// See the register, and who was seen when.
    AttendanceRead = "attendance:read",
    /// Correct the register; open and close sessions.
    AttendanceCorrect = "attendance:correct",
    /// Decide what the cameras could not.
    ReviewDecide = "review:decide",
    /// Mark by picture.
    AttendanceMark = "attendance:mark",
    /// See and fetch reports.
    ReportsRead = "reports:read",
    /// Follow what happens.
    LiveRead = "live:read",
    /// Find, compare and match faces in pictures that the caller sends.
    FacesUse = "faces:use",
    /// Get embeddings.
    FacesEmbed = "faces:embed",
    /// Manage accounts.
    AccountsManage = "accounts:manage",
    /// Manage keys of machines.
    KeysManage = "keys:manage",
    /// Read the audit log.
    AuditRead = "audit:read",
}

impl Right {
    /// The right of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|right| right.as_str() == name)
    }
}

/// What people are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Looks after cameras and rooms.
    Operator,
    /// Looks after who was there.
    Teacher,
    /// Looks.
    Viewer,
    /// Sees their own record.
    Person,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Operator, Self::Teacher, Self::Viewer, Self::Person];

    /// As it stands in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Teacher => "teacher",
            Self::Viewer => "viewer",
            Self::Person => "person",
        }
    }

    /// The role of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// What it may do.
    pub fn rights(self) -> &'static [Right] {
        use Right as R;
        match self {
            Self::Admin => R::ALL,
            Self::Operator => &[
                R::CamerasRead,
                R::CamerasWrite,
                R::PlacesRead,
                R::PlacesWrite,
                R::PeopleRead,
                R::FacesView,
                R::AttendanceRead,
                R::ReviewDecide,
                R::ReportsRead,
                R::LiveRead,
                R::FacesUse,
            ],
            Self::Teacher => &[
                R::CamerasRead,
                R::PlacesRead,
                R::PeopleRead,
                R::FacesView,
                R::AttendanceRead,
                R::AttendanceCorrect,
                R::AttendanceMark,
                R::ReviewDecide,
                R::ReportsRead,
                R::LiveRead,
            ],
            Self::Viewer => &[R::CamerasRead, R::PlacesRead, R::AttendanceRead, R::ReportsRead, R::LiveRead],
            Self::Person => &[R::AttendanceRead],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = include_str!("../../docs/api.md");

    #[test]
    fn the_guide_says_which_role_may_do_what() {
        let heading = format!("| right | to | {} |\n", Role::ALL.map(Role::as_str).join(" | "));
        let (_, table) = GUIDE.split_once(heading.as_str()).expect("the table is there, with all roles");
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), Right::ALL.len());
        for (right, row) in Right::ALL.iter().zip(rows) {
            // Before the first bar and after the last one there is nothing.
            assert_eq!(row.len(), Role::ALL.len() + 4, "{row:?}");
            assert_eq!(row[1], format!("`{}`", right.as_str()));
            let may = Role::ALL.map(|role| if role.rights().contains(right) { "yes" } else { "" });
            assert_eq!(row[3..8], may, "{}", right.as_str());
        }
    }
}
