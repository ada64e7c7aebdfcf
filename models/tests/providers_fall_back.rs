//! What a network is run on when what was asked for cannot be had: the processor, with the reason.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use ndarray::Array4;
use rollcall_models::{Provider, SFACE_ID, SFACE_SIDE, SFace, YUNET_ID};

#[test]
fn a_provider_that_the_runtime_lacks_is_told_and_the_processor_does_the_work() {
    let models = common::models();
    let chips = Array4::from_elem((1, 3, SFACE_SIDE, SFACE_SIDE), 90.0);
    let expected = SFace::load(&models, 1).unwrap().run(chips.view()).unwrap();
    assert_eq!((models.provider_of(SFACE_ID), models.fallback(SFACE_ID)), (Provider::default(), None));
    for provider in [Provider::Cuda, Provider::TensorRt, Provider::OpenVino { bf16: true }, Provider::CoreMl] {
        let models = models.clone().with_provider(provider);
        assert_eq!(models.provider_of(SFACE_ID), provider, "not tried yet");
        let told = SFace::load(&models, 1).unwrap().run(chips.view()).unwrap();
        assert_eq!(told, expected, "{provider}");
        assert_eq!(models.provider_of(SFACE_ID), Provider::default());
        assert!(!models.fallback(SFACE_ID).unwrap().is_empty());
    }
}

#[test]
fn what_has_no_file_in_8_bits_runs_in_32() {
    let models = common::models().with_provider(Provider::Cpu { int8: true });
    assert_eq!(models.provider_of(YUNET_ID), Provider::default());
}

#[test]
fn in_8_bits_answers_are_others_where_the_processor_can() {
    let full = common::models();
    let int8 = full.clone().with_provider(Provider::Cpu { int8: true });
    assert_eq!(int8.in_32_bits().provider_of(SFACE_ID), Provider::default());
    let image = common::pattern((1, 3, SFACE_SIDE, SFACE_SIDE), 255.0);
    let [full, answer] = [&full, &int8].map(|models| SFace::load(models, 1).unwrap().run(image.view()).unwrap());
    // What the kernel says of the processor, not what the code under test does.
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let can = flags.split_whitespace().any(|flag| ["avx512_vnni", "avx_vnni", "asimddp"].contains(&flag));
    assert_eq!(int8.provider_of(SFACE_ID), Provider::Cpu { int8: can });
    assert_eq!(int8.fallback(SFACE_ID), None);
    assert_eq!(answer != full, can);
}
