//! A scene as SVG, with the fonts of whoever looks at it.

use crate::scene::{Anchor, Colour, Scene, Shape, Weight};

/// An SVG document; `title` is what a screen reader says.
pub(crate) fn document(scene: &Scene, title: &str) -> String {
    let (width, height) = (scene.width, scene.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\"><title>{}</title>",
        escaped(title)
    );
    scene.shapes.iter().for_each(|shape| svg.push_str(&element(shape)));
    svg.push_str("</svg>\n");
    svg
}

fn element(shape: &Shape) -> String {
    match shape {
        Shape::Rect { x, y, width, height, fill } => {
            format!(
                "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{}\"/>",
                hex(*fill)
            )
        }
        Shape::Line { points, stroke, width } => {
            let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.2},{y:.2}")).collect();
            let points = points.join(" ");
            format!(
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"/>",
                hex(*stroke)
            )
        }
        Shape::Text { x, y, size, weight, anchor, colour, text } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let weight = if *weight == Weight::Bold { " font-weight=\"bold\"" } else { "" };
            let (fill, text) = (hex(*colour), escaped(text));
            format!(
                "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size}\"{anchor}{weight} fill=\"{fill}\">{text}</text>"
            )
        }
    }
}

fn hex(colour: Colour) -> String {
    format!("#{:06x}", colour.0)
}

/// Text that is nothing but text in XML.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut all, c| {
        match c {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            '\'' => all.push_str("&#39;"),
            // XML 1.0 has no place for these, escaped or not.
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => all.push(' '),
            c => all.push(c),
        }
        all
    })
}
