//! Chips as the planar tensors that networks take.

use rollcall_pipeline::{Chip, ErrorClass, Fault};

/// Which plane comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: networks that were trained on what OpenCV reads.
    Bgr,
}

/// Appends the three planes of a chip of `side` pixels to `tensor`, every value times `factor`.
///
/// # Errors
/// If the chip has another size: a bug in whoever cut it.
pub fn push_planes(
    tensor: &mut Vec<f32>,
    chip: &Chip,
    side: usize,
    order: ChannelOrder,
    factor: f32,
) -> Result<(), Fault> {
    if chip.side != side || chip.rgb.len() != side * side * 3 {
        let message = format!("a chip of {} pixels where {side} are wanted", chip.side);
        return Err(Fault::new(ErrorClass::Bug, message));
    }
    let channels = match order {
        ChannelOrder::Rgb => [0, 1, 2],
        ChannelOrder::Bgr => [2, 1, 0],
    };
    for channel in channels {
        tensor.extend(chip.rgb.chunks_exact(3).map(|pixel| f32::from(pixel[channel]) * factor));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_come_in_the_order_asked_for() {
        let chip = Chip { side: 2, rgb: vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] };
        let mut tensor = Vec::new();
        push_planes(&mut tensor, &chip, 2, ChannelOrder::Bgr, 1.0).unwrap();
        push_planes(&mut tensor, &chip, 2, ChannelOrder::Rgb, 0.5).unwrap();
        assert_eq!(tensor[..4], [3.0, 6.0, 9.0, 12.0]);
        assert_eq!(tensor[12..16], [0.5, 2.0, 3.5, 5.0]);
        assert!(push_planes(&mut tensor, &chip, 3, ChannelOrder::Rgb, 1.0).is_err());
    }
}
