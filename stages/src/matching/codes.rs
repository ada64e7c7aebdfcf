//! The gallery in eight bits a value: a quarter of the bytes to read, and a bound on what the rounding can hide.
//!
//! A row `v` is kept as whole numbers `q` of -127 to 127 and a scale `s`, so that `v = s·q + e` with a known length of `e`.
//! For a probe `p = t·r + f` the product `v·p` differs from `s·t·(q·r)` by `s·q·f + e·p`, which is at most
//! `|s·q|·|f| + |e|·|p|` (Cauchy and Schwarz). Whoever could be among the best in spite of that is measured exactly, so the
//! answer is that of the exact scan.
//!
//! Several probes share one pass: a stride of rows is multiplied with each of them while it is in the nearest cache.

use pulp::{Arch, NullaryFnOnce};

/// Rows of one vector of sums.
const LANES: usize = 16;
/// Vectors of sums that share a value of the probe while it is in a register.
const VECTORS: usize = 4;
/// Rows that are multiplied at once.
const STRIDE: usize = LANES * VECTORS;
/// Values that are multiplied and added in one step.
const QUAD: usize = 4;
/// Greatest number of a row. Rows are kept as `q + 128`, without a sign, as the processor's multiplication wants one side.
const ROW_MOST: f32 = 127.0;
/// Greatest number of a probe: two products with 255 must fit into 16 bits.
const PROBE_MOST: f32 = 63.0;
/// What a row's numbers are raised by.
const RAISED: i32 = 128;

/// Four neighbouring values of each row of a vector; a whole cache line, since a load across two costs double.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Quads([u8; QUAD * LANES]);

/// The same four values of all rows of a stride.
type Step = [Quads; VECTORS];

/// Whole-number products of the rows of a stride with a probe.
type Products = [[i32; LANES]; VECTORS];

/// Rows in eight bits.
pub(super) struct Codes {
    /// Steps a row.
    quads: usize,
    /// Stride by stride, step by step, in the order in which a scan reads them.
    steps: Vec<Step>,
    /// One a row, padded with zeros.
    scales: Vec<f32>,
    /// Greatest length of what rounding took from a row.
    error: f32,
    /// Greatest length of a rounded row.
    length: f32,
}

/// A vector in whole numbers.
struct Code {
    values: Vec<i8>,
    scale: f32,
    /// Length of what rounding took.
    error: f32,
    /// Length of the rounded vector.
    length: f32,
}

impl Code {
    fn of(vector: &[f32], most: f32) -> Self {
        let scale = vector.iter().fold(0.0f32, |most, v| most.max(v.abs())) / most;
        let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
        // Half up, and not half to even: `as` cuts off, which costs nothing, and the bound holds for any rounding.
        let values: Vec<i8> = vector.iter().map(|v| (v * inverse + 0.5f32.copysign(*v)) as i8).collect();
        let rounded = || values.iter().map(|&q| f32::from(q) * scale);
        let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
        let error = length(&mut vector.iter().zip(rounded()).map(|(v, r)| v - r));
        let rounded = length(&mut rounded());
        Self { values, scale, error, length: rounded }
    }
}

/// What the arithmetic itself may add, in products of unit vectors: sums of some hundred values in single precision.
const ARITHMETIC: f32 = 1e-5;

/// A probe, ready to be multiplied.
struct Probe {
    /// Four numbers of eight bits each.
    quads: Vec<i32>,
    scale: f32,
    /// What raising the rows adds to each product.
    raised: i32,
    /// By how much a product may be too small.
    slack: f32,
    /// The least similarity that is of interest.
    floor: f32,
}

impl Codes {
    /// Rounds rows of `dimension` values each.
    pub(super) fn new(rows: &[f32], dimension: usize) -> Self {
        let quads = dimension.div_ceil(QUAD);
        let padded = (rows.len() / dimension.max(1)).next_multiple_of(STRIDE);
        let mut codes = Self {
            quads,
            steps: vec![[Quads([RAISED as u8; QUAD * LANES]); VECTORS]; padded / STRIDE * quads],
            scales: vec![0.0; padded],
            error: 0.0,
            length: 0.0,
        };
        for (at, row) in rows.chunks_exact(dimension.max(1)).enumerate() {
            let code = Code::of(row, ROW_MOST);
            codes.scales[at] = code.scale;
            codes.error = codes.error.max(code.error);
            codes.length = codes.length.max(code.length);
            let (vector, lane) = (at % STRIDE / LANES, at % LANES);
            let steps = &mut codes.steps[at / STRIDE * quads..][..quads];
            for (step, values) in steps.iter_mut().zip(code.values.chunks(QUAD)) {
                for (to, value) in step[vector].0[lane * QUAD..].iter_mut().zip(values) {
                    *to = (i32::from(*value) + RAISED) as u8;
                }
            }
        }
        codes
    }

    /// Calls `measure` with the number of a probe and each row that may be at least as similar to it as the last answer of
    /// `measure` for that probe, which begins at `-∞`. Probes are of unit length.
    pub(super) fn scan(&self, arch: Arch, probes: &[&[f32]], measure: impl FnMut(usize, usize) -> f32) {
        let mut probes: Vec<Probe> = probes.iter().map(|probe| self.probe(probe)).collect();
        let scan = Scan { codes: self, probes: &mut probes, measure };
        match arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(simd) => simd.vectorize(scan.with(|steps: &[Step], probe: &[i32]| avx512(simd, steps, probe))),
            #[cfg(target_arch = "x86_64")]
            Arch::V3(simd) => simd.vectorize(scan.with(|steps: &[Step], probe: &[i32]| avx2(simd, steps, probe))),
            _ => scan.with(plain).call(),
        }
    }

    fn probe(&self, values: &[f32]) -> Probe {
        let code = Code::of(values, PROBE_MOST);
        let quad = |values: &[i8]| {
            i32::from_le_bytes(std::array::from_fn(|i| values.get(i).copied().unwrap_or(0).cast_unsigned()))
        };
        Probe {
            quads: code.values.chunks(QUAD).map(quad).collect(),
            scale: code.scale,
            raised: RAISED * code.values.iter().map(|&r| i32::from(r)).sum::<i32>(),
            slack: self.length * code.error + self.error + ARITHMETIC,
            floor: f32::NEG_INFINITY,
        }
    }
}

struct Scan<'a, M> {
    codes: &'a Codes,
    probes: &'a mut [Probe],
    measure: M,
}

impl<'a, M: FnMut(usize, usize) -> f32> Scan<'a, M> {
    fn with<P: Fn(&[Step], &[i32]) -> Products>(self, products: P) -> ScanWith<'a, M, P> {
        ScanWith { scan: self, products }
    }
}

/// A scan, and how to multiply.
struct ScanWith<'a, M, P> {
    scan: Scan<'a, M>,
    products: P,
}

impl<M: FnMut(usize, usize) -> f32, P: Fn(&[Step], &[i32]) -> Products> NullaryFnOnce for ScanWith<'_, M, P> {
    type Output = ();

    /// Inlined into where the processor's instructions are allowed.
    #[inline(always)]
    fn call(self) {
        let Self { scan: Scan { codes, probes, mut measure }, products } = self;
        let strides = codes.steps.chunks_exact(codes.quads.max(1));
        for (stride, (steps, scales)) in strides.zip(codes.scales.as_chunks::<STRIDE>().0).enumerate() {
            for (at, probe) in probes.iter_mut().enumerate() {
                let products = products(steps, &probe.quads);
                for (vector, (products, scales)) in products.iter().zip(scales.as_chunks::<LANES>().0).enumerate() {
                    let similar: [f32; LANES] =
                        std::array::from_fn(|i| (products[i] - probe.raised) as f32 * (scales[i] * probe.scale));
                    let enough = probe.floor - probe.slack;
                    if !similar.iter().fold(false, |any, &s| any | (s >= enough)) {
                        continue;
                    }
                    for (lane, &similar) in similar.iter().enumerate() {
                        // Padding has the scale zero, which no row has.
                        if similar >= probe.floor - probe.slack && scales[lane] > 0.0 {
                            probe.floor = measure(at, stride * STRIDE + vector * LANES + lane);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
#[cfg(target_arch = "x86_64")]
fn avx512(simd: pulp::x86::V4, steps: &[Step], probe: &[i32]) -> Products {
    let mut sums = [simd.avx512f._mm512_setzero_si512(); VECTORS];
    let ones = simd.avx512f._mm512_set1_epi16(1);
    for (step, &quad) in steps.iter().zip(probe) {
        let quad = simd.avx512f._mm512_set1_epi32(quad);
        for (sum, values) in sums.iter_mut().zip(step) {
            let pairs = simd.avx512bw._mm512_maddubs_epi16(pulp::cast(values.0), quad);
            *sum = simd.avx512f._mm512_add_epi32(*sum, simd.avx512bw._mm512_madd_epi16(pairs, ones));
        }
    }
    sums.map(pulp::cast)
}

#[inline(always)]
#[cfg(target_arch = "x86_64")]
fn avx2(simd: pulp::x86::V3, steps: &[Step], probe: &[i32]) -> Products {
    let mut sums = [[simd.avx._mm256_setzero_si256(); 2]; VECTORS];
    let ones = simd.avx._mm256_set1_epi16(1);
    for (step, &quad) in steps.iter().zip(probe) {
        let quad = simd.avx._mm256_set1_epi32(quad);
        for (sums, values) in sums.iter_mut().zip(step) {
            let halves: [std::arch::x86_64::__m256i; 2] = pulp::cast(values.0);
            for (sum, half) in sums.iter_mut().zip(halves) {
                let pairs = simd.avx2._mm256_maddubs_epi16(half, quad);
                *sum = simd.avx2._mm256_add_epi32(*sum, simd.avx2._mm256_madd_epi16(pairs, ones));
            }
        }
    }
    sums.map(pulp::cast)
}

/// For processors without either; the compiler makes of it what there is.
fn plain(steps: &[Step], probe: &[i32]) -> Products {
    let mut sums = [[0; LANES]; VECTORS];
    for (step, &quad) in steps.iter().zip(probe) {
        let quad = quad.to_le_bytes().map(|r| i32::from(r.cast_signed()));
        for (sums, values) in sums.iter_mut().zip(step) {
            for (sum, values) in sums.iter_mut().zip(values.0.as_chunks::<QUAD>().0) {
                *sum += values.iter().zip(quad).map(|(&q, r)| i32::from(q) * r).sum::<i32>();
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(mut values: Vec<f32>) -> Vec<f32> {
        let length = values.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        values.iter_mut().for_each(|v| *v /= length);
        values
    }

    fn exact(row: &[f32], probe: &[f32]) -> f32 {
        row.iter().zip(probe).map(|(a, b)| a * b).sum()
    }

    proptest! {
        #[test]
        fn no_row_that_could_win_is_passed_over(
            rows in prop::collection::vec(prop::collection::vec(-1.0f32..1.0, 37), 1..200),
            probe in prop::collection::vec(-1.0f32..1.0, 37),
            scalar in any::<bool>(),
        ) {
            let rows: Vec<Vec<f32>> = rows.into_iter().map(unit).collect();
            let probe = unit(probe);
            let flat: Vec<f32> = rows.concat();
            let arch = if scalar { Arch::Scalar } else { Arch::new() };
            let (mut best, mut measured) = (f32::NEG_INFINITY, Vec::new());
            let other = unit(probe.iter().rev().copied().collect());
            // The second probe shares the pass, and must not change the answer for the first.
            Codes::new(&flat, 37).scan(arch, &[&probe, &other], |at, row| {
                if at == 1 {
                    return exact(&rows[row], &other);
                }
                measured.push(row);
                best = best.max(exact(&rows[row], &probe));
                best
            });
            prop_assert!(measured.is_sorted_by(|a, b| a < b), "in order, each once");
            let truth = rows.iter().map(|row| exact(row, &probe)).fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(best, truth);
        }

        #[test]
        fn all_kernels_multiply_alike(
            values in prop::collection::vec(any::<[u8; 32]>(), 2 * VECTORS * 5),
            probe in prop::collection::vec(prop::array::uniform4(-63i8..=63), 5),
        ) {
            let bytes = values.concat();
            let quads: Vec<Quads> = bytes.as_chunks::<{ QUAD * LANES }>().0.iter().map(|&q| Quads(q)).collect();
            let steps = quads.as_chunks::<VECTORS>().0;
            let probe: Vec<i32> = probe.into_iter().map(|p| i32::from_le_bytes(p.map(i8::cast_unsigned))).collect();
            let plain = plain(steps, &probe);
            #[cfg(target_arch = "x86_64")]
            {
                if let Some(simd) = pulp::x86::V3::try_new() {
                    prop_assert_eq!(avx2(simd, steps, &probe), plain);
                }
                if let Some(simd) = pulp::x86::V4::try_new() {
                    prop_assert_eq!(avx512(simd, steps, &probe), plain);
                }
            }
        }
    }
}
