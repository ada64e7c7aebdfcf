//! What a network is run on when that cannot be had: the processor, with the reason.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use ndarray::Array4;
use rollcall_models::{Provider, SFACE_ID, SFACE_SIDE, SFace};

#[test]
fn a_provider_that_the_runtime_lacks_is_told_and_the_processor_does_the_work() {
    let models = common::models();
    let chips = Array4::from_elem((1, 3, SFACE_SIDE, SFACE_SIDE), 90.0);
    let expected = SFace::load(&models, 1).unwrap().run(chips.view()).unwrap();
    assert_eq!((models.provider_of(SFACE_ID), models.fallback(SFACE_ID)), (Provider::Cpu, None));
    for provider in [Provider::Cuda, Provider::TensorRt, Provider::OpenVino { bf16: true }, Provider::CoreMl] {
        let models = models.clone().with_provider(provider);
        assert_eq!(models.provider_of(SFACE_ID), provider, "not tried yet");
        let told = SFace::load(&models, 1).unwrap().run(chips.view()).unwrap();
        assert_eq!(told, expected, "{provider}");
        assert_eq!(models.provider_of(SFACE_ID), Provider::Cpu);
        assert!(!models.fallback(SFACE_ID).unwrap().is_empty());
    }
}
