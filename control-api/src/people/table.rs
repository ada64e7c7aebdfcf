//! The table of people that is imported and exported: `id,external_id,name,groups` and a column `attribute.NAME` for each
//! attribute. Groups are parted by `|`. Whoever has no external id is told by their id here. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use csv::{ByteRecord, Position, ReaderBuilder, Trim};
use rollcall_store::{ImportedPerson, MAX_ATTRIBUTES, PersonDetail};

use crate::problem::FieldError;
use crate::validate::{Checks, MAX_NAME};

use super::{MAX_ATTRIBUTE, MAX_GROUPS, check_attribute_name};

/// Lines of people, at most.
pub(super) const MAX_LINES: u64 = 100_000;
/// Columns, at most: each costs memory in each line, and each may be an attribute that somebody has.
const MAX_COLUMNS: usize = 10_000;
/// Mistakes that are told, at most.
pub(super) const MAX_TOLD: usize = 1_000;
/// Between the groups of a person.
const PART: char = '|';
const ATTRIBUTE: &str = "attribute.";
/// What a formula begins with. Where people write Chinese or Japanese, the wide signs are as good.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// What a column is.
enum Column {
    Id,
    ExternalId,
    Name,
    Groups,
    Attribute(String),
}

impl Column {
    fn attribute(self) -> Option<String> {
        match self {
            Self::Attribute(name) => Some(name),
            Self::Id | Self::ExternalId | Self::Name | Self::Groups => None,
        }
    }
}

/// What a table says.
#[derive(Debug, PartialEq)]
pub(super) struct Table {
    /// The people, each with their line.
    pub(super) people: Vec<(u64, ImportedPerson)>,
    /// The attributes that it has columns for.
    pub(super) attributes: BTreeSet<String>,
}

/// Reads a table; either all of it, or what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Table, Vec<FieldError>> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let head = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |mark: u8| head.iter().filter(|b| **b == mark).count();
    let delimiter = if count(b';') > count(b',') { b';' } else { b',' };
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).trim(Trim::All).flexible(true).has_headers(false).from_reader(bytes);
    let mut told = Told::default();
    let mut record = ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => {}
        Ok(false) => return Err(vec![mistake(1, "", "the table is empty: its first line names the columns")]),
        Err(error) => return Err(vec![mistake(1, "", error.to_string())]),
    }
    let columns = columns(&record)?;
    let (mut people, mut lines_of) = (Vec::new(), HashMap::new());
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                told.add(mistake(reader.position().line(), "", error.to_string()));
                break;
            }
        }
        let line = record.position().map_or(0, |from| line_of(bytes, from));
        if people.len() as u64 >= MAX_LINES {
            told.add(mistake(line, "", format!("at most {MAX_LINES} people: import in parts")));
            break;
        }
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        let Some(person) = person(&record, &columns, line, &mut told) else { continue };
        let keys = [("id", person.id.map(|id| id.to_string())), ("external_id", person.external_id.clone())];
        for (column, key) in keys.into_iter().filter_map(|(column, key)| Some((column, key?))) {
            if let Some(first) = lines_of.insert((column, key), line) {
                told.add(mistake(line, column, format!("stands in line {first} already")));
            }
        }
        people.push((line, person));
    }
    let attributes = columns.into_iter().filter_map(Column::attribute).collect();
    told.done(Table { people, attributes })
}

/// The line of a record that is looked for from there on: ends of lines before it are skipped.
fn line_of(bytes: &[u8], from: &Position) -> u64 {
    let rest = usize::try_from(from.byte()).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let skipped = rest.iter().take_while(|b| b"\r\n".contains(b)).filter(|b| **b == b'\n').count();
    from.line() + skipped as u64
}

fn columns(record: &ByteRecord) -> Result<Vec<Column>, Vec<FieldError>> {
    if record.len() > MAX_COLUMNS {
        return Err(vec![mistake(1, "", format!("at most {MAX_COLUMNS} columns"))]);
    }
    let mut told = Told::default();
    let (mut columns, mut seen) = (Vec::new(), BTreeSet::new());
    for name in record {
        let text = String::from_utf8_lossy(name).into_owned();
        let plain = text.to_lowercase();
        let column = match plain.as_str() {
            "id" => Column::Id,
            "external_id" => Column::ExternalId,
            "name" => Column::Name,
            "groups" => Column::Groups,
            _ => match text.get(..ATTRIBUTE.len()).filter(|head| head.eq_ignore_ascii_case(ATTRIBUTE)) {
                Some(_) => Column::Attribute(unguarded(&text[ATTRIBUTE.len()..]).to_owned()),
                None => {
                    let known = "id, external_id, name, groups and attribute.NAME";
                    told.add(mistake(1, shown(&text), format!("no column that is read here: there are {known}")));
                    continue;
                }
            },
        };
        if let Column::Attribute(name) = &column {
            told.check(1, shown(&text), |checks| check_attribute_name(checks, "", name));
        }
        if !seen.insert(match &column {
            Column::Attribute(name) => format!("{ATTRIBUTE}{name}"),
            _ => plain,
        }) {
            told.add(mistake(1, shown(&text), "this column stands there twice"));
        }
        columns.push(column);
    }
    for (name, is_there) in [
        ("external_id", columns.iter().any(|c| matches!(c, Column::ExternalId | Column::Id))),
        ("name", columns.iter().any(|c| matches!(c, Column::Name))),
    ] {
        if !is_there {
            told.add(mistake(1, name, "this column is missing"));
        }
    }
    told.done(columns)
}

fn person(record: &ByteRecord, columns: &[Column], line: u64, told: &mut Told) -> Option<ImportedPerson> {
    if record.len() != columns.len() {
        let wrong = format!("has {} fields, and the first line has {}", record.len(), columns.len());
        told.add(mistake(line, "", wrong));
        return None;
    }
    let before = told.count;
    let mut person =
        ImportedPerson { id: None, external_id: None, name: String::new(), groups: None, attributes: BTreeMap::new() };
    for (bytes, column) in record.iter().zip(columns) {
        let name = match column {
            Column::Id => "id",
            Column::ExternalId => "external_id",
            Column::Name => "name",
            Column::Groups => "groups",
            Column::Attribute(name) => name,
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            told.add(mistake(line, name, "is not UTF-8: save the table as CSV UTF-8"));
            continue;
        };
        let text = unguarded(text);
        match column {
            Column::Id if text.is_empty() => {}
            Column::Id => match text.parse() {
                Ok(id) => person.id = Some(id),
                Err(_) => told.add(mistake(line, name, "is no id: take it as it was exported, or leave it empty")),
            },
            Column::ExternalId => {
                if !text.is_empty() {
                    told.check(line, name, |checks| checks.line("", text, MAX_NAME));
                    person.external_id = Some(text.to_owned());
                }
            }
            Column::Name => {
                told.check(line, name, |checks| checks.line("", text, MAX_NAME));
                person.name = text.to_owned();
            }
            Column::Groups => {
                let groups: BTreeSet<String> =
                    text.split(PART).map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect();
                if groups.len() > MAX_GROUPS {
                    told.add(mistake(line, name, format!("at most {MAX_GROUPS}")));
                }
                for group in &groups {
                    told.check(line, name, |checks| checks.line("", group, MAX_NAME));
                }
                person.groups = Some(groups);
            }
            Column::Attribute(_) => {
                if !text.is_empty() {
                    told.check(line, name, |checks| checks.line("", text, MAX_ATTRIBUTE));
                    person.attributes.insert(name.to_owned(), text.to_owned());
                }
            }
        }
    }
    if told.count == before && person.id.is_none() && person.external_id.is_none() {
        told.add(mistake(line, "external_id", "is missing, and there is no id: nobody can tell who it is"));
    }
    if person.attributes.len() > MAX_ATTRIBUTES {
        told.add(mistake(line, "", format!("at most {MAX_ATTRIBUTES} attributes")));
    }
    (told.count == before).then_some(person)
}

/// What is wrong so far.
#[derive(Default)]
struct Told {
    wrong: Vec<FieldError>,
    count: usize,
}

impl Told {
    fn add(&mut self, wrong: FieldError) {
        self.count += 1;
        if self.wrong.len() < MAX_TOLD {
            self.wrong.push(wrong);
        }
    }

    /// Holds a value to the checks of JSON bodies.
    fn check(&mut self, line: u64, column: &str, check: impl FnOnce(&mut Checks)) {
        let mut checks = Checks::default();
        check(&mut checks);
        for detail in checks.details() {
            self.add(mistake(line, column, detail));
        }
    }

    fn done<T>(mut self, good: T) -> Result<T, Vec<FieldError>> {
        let more = self.count - self.wrong.len();
        if more > 0 {
            self.wrong.push(FieldError { pointer: "…".to_owned(), detail: format!("and {more} more mistakes") });
        }
        if self.wrong.is_empty() { Ok(good) } else { Err(self.wrong) }
    }
}

pub(super) fn mistake(line: u64, column: &str, detail: impl Into<String>) -> FieldError {
    let pointer = if column.is_empty() { format!("line {line}") } else { format!("line {line}, {column}") };
    FieldError { pointer, detail: detail.into() }
}

/// The name of a column for people, however long it is.
fn shown(text: &str) -> &str {
    text.char_indices().nth(60).map_or(text, |(end, _)| &text[..end])
}

/// Whether a spreadsheet would take a text for a formula.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(FORMULA)
}

/// A cell that no spreadsheet takes for a formula.
pub(super) fn guarded(text: &str) -> String {
    if is_formula(text) { format!("'{text}") } else { text.to_owned() }
}

/// What [`guarded`] was made of.
fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').filter(|_| is_formula(text)).unwrap_or(text)
}

/// The first line.
pub(super) fn head(attributes: &[String]) -> Vec<String> {
    let attributes = attributes.iter().map(|name| format!("{ATTRIBUTE}{}", guarded(name)));
    ["id", "external_id", "name", "groups"].map(str::to_owned).into_iter().chain(attributes).collect()
}

/// The line of a person. The id is of use here alone, so only whoever has no number of another system is told by it.
pub(super) fn line(person: &PersonDetail, attributes: &[String]) -> Vec<String> {
    let groups: Vec<&str> = person.groups.iter().map(|group| group.name.as_str()).collect();
    let groups = groups.join(&PART.to_string());
    let (id, external_id) = match &person.external_id {
        Some(external_id) => (String::new(), external_id.as_str()),
        None => (person.id.to_string(), ""),
    };
    let values = attributes.iter().map(|name| person.attributes.get(name).map_or("", String::as_str));
    [id.as_str(), external_id, person.name.as_str(), groups.as_str()].into_iter().chain(values).map(guarded).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn wrong(table: &[u8]) -> Vec<String> {
        read(table).unwrap_err().into_iter().map(|e| format!("{}: {}", e.pointer, e.detail)).collect()
    }

    #[test]
    fn tables_come_with_either_mark_and_with_or_without_a_bom() {
        let comma = read("external_id,name,groups,attribute.Room\n7,\"Lovelace, Ada\",A|B ,12\n".as_bytes()).unwrap();
        let semicolon =
            read("\u{feff}Name;External_ID;attribute.Room;GROUPS\r\nLovelace, Ada;7;12;B|A\r\n\r\n".as_bytes())
                .unwrap();
        assert_eq!(comma, semicolon);
        assert_eq!(comma.people[0].1.groups.as_ref().unwrap().len(), 2);
        assert_eq!(read(b"external_id,name\n1,Ada\n").unwrap().people[0].1.groups, None);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let told = wrong(b"external_id,name\n1,Ada\n,Grace\n2\n1,Alan\n3,\xff\n4,\n");
        assert_eq!(told.len(), 5, "{told:?}");
        for (told, begin) in told.iter().zip([
            "line 3, external_id: is missing",
            "line 4: has 1 fields",
            "line 5, external_id: stands in line 2",
            "line 6, name: is not UTF-8",
            "line 7, name: must be 1",
        ]) {
            assert!(told.starts_with(begin), "{told}");
        }
        let told = wrong(b"external_id,name\r\n1,Ada\r\n\r\n2,\r\n");
        assert!(told[0].starts_with("line 4, name") && told.len() == 1, "{told:?}");
        assert!(wrong(b"")[0].contains("empty"));
        assert!(wrong(b"external_id,name,salary\n")[0].starts_with("line 1, salary: no column"));
        let told = wrong(format!("id,name\n{0},Ada\nx,Ben\n{0},Cid\n", Uuid::nil()).as_bytes());
        assert!(
            told[0].starts_with("line 3, id: is no id") && told[1].starts_with("line 4, id: stands in line 2"),
            "{told:?}"
        );
        assert!(wrong(b"name,name\n").iter().any(|w| w.contains("twice")));
    }

    #[test]
    fn formulas_are_guarded_and_come_back() {
        for text in
            ["=1+1", "+49", "-3", "@x", "'=1", "＝1", "＋49", "－3", "＠x", "\n=1", "O'Brien", "'quoted'", "plain"]
        {
            let cell = guarded(text);
            assert!(!cell.starts_with(['=', '+', '-', '@', '\n', '＝', '＋', '－', '＠']), "{cell}");
            assert_eq!(unguarded(&cell), text);
        }
    }
}
