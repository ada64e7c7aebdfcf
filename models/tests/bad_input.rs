//! Tensors that a network does not take, or answers that are not numbers, are errors and never a face.

mod common;

use common::{models, pattern};
use ndarray::Array4;
use rollcall_models::{FaceMesh, FrLiveness, ModelError, SFace, YuNet};

fn is_wrong_input<T>(result: Result<T, ModelError>) -> bool {
    matches!(result, Err(ModelError::WrongInput { .. }))
}

#[test]
fn yunet_refuses_sizes_it_cannot_divide() {
    let mut net = YuNet::load(&models(), 1).unwrap();
    for shape in [(1, 3, 100, 320), (1, 3, 320, 0), (2, 3, 320, 320), (1, 1, 320, 320), (1, 3, 32, 8192)] {
        assert!(is_wrong_input(net.run(pattern(shape, 255.0).view())), "{shape:?}");
    }
    let interleaved = Array4::<f32>::zeros((1, 320, 320, 3));
    assert!(is_wrong_input(net.run(interleaved.view().permuted_axes([0, 3, 1, 2]))));
}

#[test]
fn networks_of_fixed_size_refuse_others_and_no_or_too_many_images() {
    let models = models();
    let mut sface = SFace::load(&models, 1).unwrap();
    for shape in [(0, 3, 112, 112), (65, 3, 112, 112), (1, 3, 112, 96), (1, 4, 112, 112)] {
        assert!(is_wrong_input(sface.run(pattern(shape, 255.0).view())), "{shape:?}");
    }
    let mut liveness = FrLiveness::load(&models, 1).unwrap();
    assert!(is_wrong_input(liveness.run(pattern((1, 3, 80, 80), 255.0).view())));
    let mut mesh = FaceMesh::load(&models, 1).unwrap();
    assert!(is_wrong_input(mesh.run(pattern((2, 3, 256, 256), 1.0).view())));
    let said = mesh.run(pattern((1, 3, 192, 192), 1.0).view()).expect_err("not its size").to_string();
    assert_eq!(said, "mediapipe-face-mesh-478 takes one contiguous crop 1×3×256×256, got [1, 3, 192, 192], contiguous");
}

#[test]
fn an_answer_that_is_not_finite_is_an_error() {
    let models = models();
    let mut sface = SFace::load(&models, 1).unwrap();
    let not_a_number = Array4::from_elem((1, 3, 112, 112), f32::NAN);
    let error = sface.run(not_a_number.view()).expect_err("nothing can be said of this");
    assert!(matches!(&error, ModelError::NotFinite { tensor, .. } if tensor == "fc1"), "{error}");
    let infinite = Array4::from_elem((1, 3, 112, 112), f32::INFINITY);
    assert!(matches!(sface.run(infinite.view()), Err(ModelError::NotFinite { .. })));
    assert!(sface.run(pattern((1, 3, 112, 112), 255.0).view()).is_ok(), "the session is still usable");
}
