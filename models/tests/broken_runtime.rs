//! A runtime that the system cannot load is an error, not a panic. Alone in its program: a process loads one runtime for ever.

mod common;

use common::{linked_cache, manifest_text, replace};
use rollcall_models::{Manifest, ModelError, Models};

#[test]
fn a_library_that_is_none_is_an_error() {
    let dir = linked_cache();
    replace(&dir, "libonnxruntime.so", b"not a library");
    let ModelError::Altered { expected, found, .. } = Models::open(dir.path()).expect_err("altered") else {
        panic!("the library is altered");
    };
    let manifest = Manifest::parse(&manifest_text().replace(&expected, &found)).unwrap();
    let said = Models::open_with(manifest, dir.path(), None).expect_err("not a library").to_string();
    assert!(said.starts_with("ONNX Runtime cannot be loaded from ") && said.contains("libonnxruntime.so"), "{said}");
    assert!(
        said.ends_with("; `ldd` says what it lacks, and the file system must allow programs (no `noexec`)"),
        "{said}"
    );
    // And the failure is not for ever.
    common::models();
}
