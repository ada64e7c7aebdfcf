//! Fonts: which one has a character, how wide a text is, and its glyphs.
//!
//! DejaVu Sans Condensed is part of the program: Latin, Greek, Cyrillic, Armenian, Georgian and Arabic, Hebrew in its wide sister.
//! Chinese, Japanese and Korean need megabytes, so they come from the system ([`SYSTEM_FONTS`]) where it has them.
//! A character that no font has is written in Latin letters (李 as "Li"), never as a box.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use any_ascii::any_ascii_char;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use rustybuzz::{Direction, Face, UnicodeBuffer};
use unicode_bidi::{BidiClass, BidiInfo, bidi_class};

use crate::scene::Weight;

/// Where Debian and Ubuntu put fonts for Chinese, Japanese and Korean (`fonts-droid-fallback`, `fonts-noto-cjk`, …).
pub(super) const SYSTEM_FONTS: [&str; 4] = [
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/droid/DroidSansFallback.ttf",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
];
/// Larger than any font there is; a file that is larger is none.
const FONT_BYTES: u64 = 64 << 20;
/// Texts remembered with their glyphs. Reports repeat themselves: words of a status, days, names.
const REMEMBERED: usize = 20_000;

/// The fonts, read once.
pub(crate) struct Fonts {
    regular: Vec<Loaded>,
    bold: Vec<Loaded>,
}

#[derive(Clone)]
struct Loaded {
    font: Font,
    data: Arc<dyn AsRef<[u8]> + Send + Sync>,
}

impl Loaded {
    /// `None` if this is no font that can be used.
    fn new(data: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Option<Self> {
        Face::from_slice((*data).as_ref(), 0)?;
        let font = Font::new(data.clone().into(), 0)?;
        Some(Self { font, data })
    }
}

impl Fonts {
    /// Takes the first of these files that is a font beside the built-in ones. A missing one is not an error: see the module.
    pub(crate) fn load(fallbacks: &[PathBuf]) -> Self {
        let builtin = |data: &'static [u8]| Loaded::new(Arc::new(data));
        let fallback = fallbacks.iter().find_map(|path| {
            let size = fs::metadata(path).ok()?.len();
            if size > FONT_BYTES {
                return None;
            }
            Loaded::new(Arc::new(fs::read(path).ok()?))
        });
        let chain =
            |condensed, wide| [builtin(condensed), builtin(wide), fallback.clone()].into_iter().flatten().collect();
        Self {
            regular: chain(dejavu::sans_condensed::regular(), dejavu::sans::regular()),
            bold: chain(dejavu::sans_condensed::bold(), dejavu::sans::bold()),
        }
    }
}

/// A text on one line, ready to be drawn.
pub(super) struct Shaped {
    /// In units of the font size.
    pub(super) width: f32,
    pub(super) pieces: Vec<Piece>,
}

/// The part of a line that one font draws.
pub(super) struct Piece {
    pub(super) font: Font,
    pub(super) text: String,
    pub(super) glyphs: Vec<KrillaGlyph>,
    /// Where it begins, in units of the font size.
    pub(super) x: f32,
}

type Key = (Weight, Box<str>);

/// Shapes texts with some fonts, for one document.
pub(super) struct Shaper<'f> {
    regular: Vec<(Face<'f>, Font)>,
    bold: Vec<(Face<'f>, Font)>,
    remembered: RefCell<HashMap<Key, Rc<Shaped>>>,
    transcribed: Cell<bool>,
}

impl<'f> Shaper<'f> {
    pub(super) fn new(fonts: &'f Fonts) -> Self {
        let faces = |loaded: &'f [Loaded]| {
            let face = |one: &'f Loaded| Some((Face::from_slice((*one.data).as_ref(), 0)?, one.font.clone()));
            loaded.iter().filter_map(face).collect()
        };
        Self {
            regular: faces(&fonts.regular),
            bold: faces(&fonts.bold),
            remembered: RefCell::default(),
            transcribed: Cell::new(false),
        }
    }

    fn faces(&self, weight: Weight) -> &[(Face<'f>, Font)] {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }

    fn has(&self, weight: Weight, face: usize, c: char) -> bool {
        let face = self.faces(weight).get(face);
        face.and_then(|(face, _)| face.glyph_index(c)).is_some_and(|glyph| glyph.0 != 0)
    }

    /// The first font that has a character.
    fn face_of(&self, weight: Weight, c: char) -> Option<usize> {
        (0..self.faces(weight).len()).find(|face| self.has(weight, *face, c))
    }

    /// The text with every character that no font has replaced by Latin letters.
    pub(super) fn readable(&self, text: &str) -> String {
        if text.is_ascii() {
            return text.to_owned();
        }
        text.chars().fold(String::with_capacity(text.len()), |mut all, c| {
            if invisible(c) || self.face_of(Weight::Regular, c).is_some() {
                all.push(c);
            } else {
                self.transcribed.set(true);
                match any_ascii_char(c) {
                    // Marks go with the letter that they belong to.
                    "" if bidi_class(c) == BidiClass::NSM => {}
                    "" => all.push('?'),
                    latin => all.push_str(latin),
                }
            }
            all
        })
    }

    /// Whether anything had to be written in Latin letters so far.
    pub(super) fn transcribed(&self) -> bool {
        self.transcribed.get()
    }

    /// The width of a text on one line, in units of the font size.
    pub(super) fn width(&self, weight: Weight, text: &str) -> f32 {
        self.shape(weight, text).width
    }

    /// The glyphs of a text on one line, from left to right as they are seen.
    pub(super) fn shape(&self, weight: Weight, text: &str) -> Rc<Shaped> {
        let key = (weight, Box::from(text));
        if let Some(known) = self.remembered.borrow().get(&key) {
            return known.clone();
        }
        let shaped = Rc::new(self.shape_anew(weight, text));
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, shaped.clone());
        shaped
    }

    fn shape_anew(&self, weight: Weight, text: &str) -> Shaped {
        let mut line = Shaped { width: 0.0, pieces: Vec::new() };
        if !text.contains(right_to_left) {
            self.run(weight, text, Direction::LeftToRight, &mut line);
            return line;
        }
        let bidi = BidiInfo::new(text, None);
        for paragraph in &bidi.paragraphs {
            let (levels, runs) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for run in runs {
                let direction =
                    if levels[run.start].is_rtl() { Direction::RightToLeft } else { Direction::LeftToRight };
                self.run(weight, &text[run], direction, &mut line);
            }
        }
        line
    }

    /// Appends text of one direction.
    fn run(&self, weight: Weight, text: &str, direction: Direction, line: &mut Shaped) {
        let mut parts: Vec<(usize, &str)> = Vec::new();
        let mut start = 0;
        let mut current = None;
        for (at, c) in text.char_indices() {
            // A blank or mark stays with what it stands beside, if that font has it.
            let stays = |face: usize| {
                invisible(c) || (c == ' ' || bidi_class(c) == BidiClass::NSM) && self.has(weight, face, c)
            };
            let face = current.filter(|face| stays(*face)).or_else(|| self.face_of(weight, c)).unwrap_or(0);
            if let Some(before) = current
                && face != before
            {
                parts.push((before, &text[start..at]));
                start = at;
            }
            current = Some(face);
        }
        parts.extend(current.map(|face| (face, &text[start..])));
        if direction == Direction::RightToLeft {
            parts.reverse();
        }
        for (face, part) in parts {
            if let Some((face, font)) = self.faces(weight).get(face) {
                let glyphs = glyphs(face, part, direction);
                let width: f32 = glyphs.iter().map(|glyph| glyph.x_advance).sum();
                line.pieces.push(Piece { font: font.clone(), text: part.to_owned(), glyphs, x: line.width });
                line.width += width;
            }
        }
    }
}

fn right_to_left(c: char) -> bool {
    c >= '\u{590}' && matches!(bidi_class(c), BidiClass::R | BidiClass::AL | BidiClass::AN)
}

/// Joiners, marks of direction and variation selectors: shaping knows them, and nothing is drawn for them.
fn invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FE00}'..='\u{FE0F}')
}

fn glyphs(face: &Face, text: &str, direction: Direction) -> Vec<KrillaGlyph> {
    let mut buffer = UnicodeBuffer::new();
    buffer.push_str(text);
    buffer.set_direction(direction);
    buffer.guess_segment_properties();
    let output = rustybuzz::shape(face, &[], buffer);
    let unit = 1.0 / face.units_per_em() as f32;
    let starts: Vec<usize> = output.glyph_infos().iter().map(|info| info.cluster as usize).collect();
    // A cluster ends where the next one of the text begins, whichever way the glyphs stand.
    let mut sorted = starts.clone();
    sorted.sort_unstable();
    let glyph = |(at, position): (usize, &rustybuzz::GlyphPosition)| {
        let start = starts[at];
        let end = sorted.get(sorted.partition_point(|other| *other <= start)).copied().unwrap_or(text.len());
        KrillaGlyph::new(
            GlyphId::new(output.glyph_infos()[at].glyph_id),
            position.x_advance as f32 * unit,
            position.x_offset as f32 * unit,
            position.y_offset as f32 * unit,
            position.y_advance as f32 * unit,
            start..end,
            None,
        )
    };
    output.glyph_positions().iter().enumerate().map(glyph).collect()
}
