use std::cell::Cell as Shared;
use std::io::{self, Write};

use rollcall_pipeline::ErrorClass;
use rollcall_reports::{Cell, CsvOptions, Format, Renderer, ReportError};

use crate::fixture::{texts, try_render};

struct Counting<'a>(&'a Shared<usize>);

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn rows_leave_while_others_come() {
    const ROW: usize = 100;
    const CHUNK: usize = 100;
    for format in [Format::Json, Format::Csv(CsvOptions::default())] {
        let written = Shared::new(0);
        let mut chunks = (0..200).map(|n| {
            let asked_for = n * CHUNK * ROW;
            assert!(asked_for <= written.get() + (1 << 17), "{asked_for} bytes in, {} out", written.get());
            Ok(vec![vec![Cell::text("x".repeat(ROW))]; CHUNK])
        });
        let count = Renderer::default().render(format, &texts(), &mut chunks, &mut Counting(&written)).unwrap();
        assert_eq!(count, 200 * CHUNK as u64);
    }
}

#[test]
fn a_source_that_fails_ends_the_report() {
    for format in [Format::Json, Format::Csv(CsvOptions::default()), Format::Xlsx, Format::Pdf] {
        let chunks = [Ok(vec![vec![Cell::text("a")]]), Err("the database went away".into())];
        let mut out = Vec::new();
        let error = try_render(format, &texts(), chunks.into_iter(), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "the rows could not be read: the database went away");
        assert_eq!(error.class(), ErrorClass::Transient);
        if matches!(format, Format::Xlsx | Format::Pdf) {
            assert!(out.is_empty());
        }
    }
}

#[test]
fn a_reader_that_leaves_ends_the_report() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in [Format::Json, Format::Csv(CsvOptions::default()), Format::Xlsx, Format::Pdf] {
        // Endless where the format could notice on the way.
        let chunks = || Ok(vec![vec![Cell::text("abcdefgh")]; 1_000]);
        let length = if matches!(format, Format::Xlsx | Format::Pdf) { 1 } else { usize::MAX };
        let mut source = std::iter::repeat_with(chunks).take(length);
        let error =
            Renderer::default().fallback_fonts([]).render(format, &texts(), &mut source, &mut Gone).unwrap_err();
        assert!(matches!(error, ReportError::Io(_)), "{error}");
    }
}
