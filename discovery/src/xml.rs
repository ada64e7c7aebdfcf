//! Reads XML of strangers: as a stream, without entities beyond XML's own five, everything bounded. Names count without their
//! prefixes and stray ampersands are taken as they are, since real cameras misspell a lot.

use std::ops::ControlFlow;

use quick_xml::Reader;
use quick_xml::events::Event;

/// Elements within elements; the messages read here need about ten.
const MAX_DEPTH: usize = 32;
/// Bytes of one element's text that are read; scopes are many.
pub(crate) const MAX_ELEMENT: usize = 8 * 1024;

/// Why a message says nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Unreadable {
    #[error("not XML: {0}")]
    Xml(String),
    #[error("a document type, which no device sends")]
    DocumentType,
    #[error("elements nested too deep")]
    TooDeep,
    #[error("an element is too long")]
    TooLong,
}

/// What comes along.
pub(crate) enum Node<'a> {
    /// An element begins.
    Open {
        /// Its name.
        name: &'a str,
        /// Its attribute of that name, which ONVIF gives to what can be asked for.
        token: Option<String>,
    },
    /// An element ends.
    Close {
        /// What it is within, outermost first.
        within: &'a [String],
        /// Its name.
        name: &'a str,
        /// The text behind its last child.
        content: &'a str,
    },
}

/// Shows all nodes of a message to `visit`, in order, until that has enough.
pub(crate) fn read(text: &str, mut visit: impl FnMut(Node<'_>) -> ControlFlow<()>) -> Result<(), Unreadable> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().allow_dangling_amp = true;
    let mut open: Vec<String> = Vec::new();
    let mut content = String::new();
    loop {
        let flow = match reader.read_event().map_err(|error| Unreadable::Xml(error.to_string()))? {
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(Unreadable::TooDeep);
                }
                let name = start.local_name().into_inner();
                let token = start.attributes().flatten().find(|a| a.key.local_name().into_inner() == "token");
                let token = token.map(|attribute| attribute.value.to_string());
                open.push(name.to_owned());
                content.clear();
                visit(Node::Open { name, token })
            }
            Event::End(_) => {
                let name = open.pop().unwrap_or_default();
                let flow = visit(Node::Close { within: &open, name: &name, content: content.trim() });
                content.clear();
                flow
            }
            Event::Text(text) => append(&mut content, &text.xml10_content())?,
            Event::CData(text) => append(&mut content, &text.xml10_content())?,
            Event::GeneralRef(name) => {
                let replaced = match &*name {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => name.resolve_char_ref().ok().flatten(),
                };
                let mut buffer = [0; 4];
                append(&mut content, replaced.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut buffer))?
            }
            Event::DocType(_) => return Err(Unreadable::DocumentType),
            Event::Eof if open.is_empty() => return Ok(()),
            Event::Eof => return Err(Unreadable::Xml("it is cut off".to_owned())),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => ControlFlow::Continue(()),
        };
        if flow.is_break() {
            return Ok(());
        }
    }
}

fn append(content: &mut String, text: &str) -> Result<ControlFlow<()>, Unreadable> {
    if content.len() + text.len() > MAX_ELEMENT {
        return Err(Unreadable::TooLong);
    }
    content.push_str(text);
    Ok(ControlFlow::Continue(()))
}
