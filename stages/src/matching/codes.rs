//! The gallery in eight bits a value: a quarter of the bytes to read, and a bound on what the rounding can hide.
//!
//! A row `v` is kept as whole numbers `q` of -127 to 127 and a scale `s`, so that `v = s·q + e` with a known length of `e`.
//! For a probe `p = t·r + f` the product `v·p` differs from `s·t·(q·r)` by `s·q·f + e·p`, which is at most
//! `|s·q|·|f| + |e|·|p|` (Cauchy and Schwarz). Whoever could be among the best in spite of that is measured exactly, so the
//! answer is that of the exact scan.

use pulp::{Arch, NullaryFnOnce};

/// Rows that are multiplied at once: one vector of sums.
const BLOCK: usize = 16;
/// Blocks that share a value of the probe while it is in a register.
const STRIDE: usize = 4;

/// Two neighbouring values of each row of a block.
type Pairs = [i8; 2 * BLOCK];

/// Rows in eight bits.
pub(super) struct Codes {
    /// Pairs of values a row.
    pairs: usize,
    /// Block by block, pair by pair; padded to whole strides.
    blocks: Vec<Pairs>,
    /// One a row, padded with zeros.
    scales: Vec<f32>,
    /// Greatest length of what rounding took from a row.
    error: f32,
    /// Greatest length of a rounded row.
    length: f32,
}

/// A vector in eight bits.
struct Code {
    values: Vec<i8>,
    scale: f32,
    /// Length of what rounding took.
    error: f32,
    /// Length of the rounded vector.
    length: f32,
}

impl Code {
    fn of(vector: &[f32]) -> Self {
        let most = vector.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let scale = most / 127.0;
        let values: Vec<i8> =
            if most > 0.0 { vector.iter().map(|v| (v / scale).round() as i8).collect() } else { vec![0; vector.len()] };
        let rounded = || values.iter().map(|&q| f32::from(q) * scale);
        let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
        let error = length(&mut vector.iter().zip(rounded()).map(|(v, r)| v - r));
        let rounded = length(&mut rounded());
        Self { values, scale, error, length: rounded }
    }
}

/// What the arithmetic itself may add, in products of unit vectors: sums of some hundred values in single precision.
const ARITHMETIC: f32 = 1e-5;

impl Codes {
    /// Rounds rows of `dimension` values each.
    pub(super) fn new(rows: &[f32], dimension: usize) -> Self {
        let pairs = dimension.div_ceil(2);
        let count = rows.len() / dimension.max(1);
        let padded = count.next_multiple_of(BLOCK * STRIDE);
        let mut codes = Self {
            pairs,
            blocks: vec![[0; 2 * BLOCK]; padded / BLOCK * pairs],
            scales: vec![0.0; padded],
            error: 0.0,
            length: 0.0,
        };
        for (at, row) in rows.chunks_exact(dimension.max(1)).enumerate() {
            let code = Code::of(row);
            codes.scales[at] = code.scale;
            codes.error = codes.error.max(code.error);
            codes.length = codes.length.max(code.length);
            let (block, lane) = (at / BLOCK, at % BLOCK);
            for (i, value) in code.values.into_iter().enumerate() {
                codes.blocks[block * pairs + i / 2][2 * lane + i % 2] = value;
            }
        }
        codes
    }

    /// Calls `measure` with each row that may be at least as similar to `probe` (of unit length) as the last answer of
    /// `measure`, which begins at `-∞`.
    pub(super) fn scan(&self, arch: Arch, probe: &[f32], measure: impl FnMut(usize) -> f32) {
        let code = Code::of(probe);
        let pair = |values: &[i8]| {
            let value = |i: usize| i32::from(values.get(i).copied().unwrap_or(0));
            // Two 16-bit numbers in one of 32.
            (value(0) & 0xffff) | (value(1) << 16)
        };
        let probe: Vec<i32> = code.values.chunks(2).map(pair).collect();
        let slack = self.length * code.error + self.error + ARITHMETIC;
        let scan = Scan { codes: self, probe: &probe, scale: code.scale, slack, measure };
        match arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(simd) => {
                simd.vectorize(scan.with(|blocks: &[&[Pairs]; STRIDE], probe: &[i32]| avx512(simd, blocks, probe)))
            }
            #[cfg(target_arch = "x86_64")]
            Arch::V3(simd) => {
                simd.vectorize(scan.with(|blocks: &[&[Pairs]; STRIDE], probe: &[i32]| avx2(simd, blocks, probe)))
            }
            _ => scan.with(plain).call(),
        }
    }
}

struct Scan<'a, M> {
    codes: &'a Codes,
    probe: &'a [i32],
    scale: f32,
    slack: f32,
    measure: M,
}

impl<'a, M: FnMut(usize) -> f32> Scan<'a, M> {
    fn with<P: Fn(&[&[Pairs]; STRIDE], &[i32]) -> Products>(self, products: P) -> ScanWith<'a, M, P> {
        ScanWith { scan: self, products }
    }
}

/// A scan, and how to multiply.
struct ScanWith<'a, M, P> {
    scan: Scan<'a, M>,
    products: P,
}

/// Whole-number products of the rows of some blocks with the probe.
type Products = [[i32; BLOCK]; STRIDE];

impl<M: FnMut(usize) -> f32, P: Fn(&[&[Pairs]; STRIDE], &[i32]) -> Products> NullaryFnOnce for ScanWith<'_, M, P> {
    type Output = ();

    /// Inlined into where the processor's instructions are allowed.
    #[inline(always)]
    fn call(self) {
        let Self { scan: Scan { codes, probe, scale, slack, mut measure }, products } = self;
        let mut floor = f32::NEG_INFINITY;
        let strides = codes.blocks.chunks_exact((codes.pairs * STRIDE).max(1));
        for (stride, (blocks, scales)) in strides.zip(codes.scales.chunks_exact(BLOCK * STRIDE)).enumerate() {
            let blocks = std::array::from_fn(|i| &blocks[i * codes.pairs..(i + 1) * codes.pairs]);
            let products = products(&blocks, probe);
            for (block, (products, scales)) in products.iter().zip(scales.as_chunks::<BLOCK>().0).enumerate() {
                let similar: [f32; BLOCK] = std::array::from_fn(|i| products[i] as f32 * (scales[i] * scale));
                let enough = floor - slack;
                if !similar.iter().any(|&s| s >= enough) {
                    continue;
                }
                for (lane, &similar) in similar.iter().enumerate() {
                    // Padding has the scale zero, which no row has.
                    if similar >= floor - slack && scales[lane] > 0.0 {
                        floor = measure((stride * STRIDE + block) * BLOCK + lane);
                    }
                }
            }
        }
    }
}

#[inline(always)]
#[cfg(target_arch = "x86_64")]
fn avx512(simd: pulp::x86::V4, blocks: &[&[Pairs]; STRIDE], probe: &[i32]) -> Products {
    let mut sums = [simd.avx512f._mm512_setzero_si512(); STRIDE];
    for (i, &pair) in probe.iter().enumerate() {
        let pair = simd.avx512f._mm512_set1_epi32(pair);
        for (sum, block) in sums.iter_mut().zip(blocks) {
            let values = simd.avx512bw._mm512_cvtepi8_epi16(pulp::cast(block[i]));
            *sum = simd.avx512f._mm512_add_epi32(*sum, simd.avx512bw._mm512_madd_epi16(values, pair));
        }
    }
    sums.map(pulp::cast)
}

#[inline(always)]
#[cfg(target_arch = "x86_64")]
fn avx2(simd: pulp::x86::V3, blocks: &[&[Pairs]; STRIDE], probe: &[i32]) -> Products {
    let mut sums = [[simd.avx._mm256_setzero_si256(); 2]; STRIDE];
    for (i, &pair) in probe.iter().enumerate() {
        let pair = simd.avx._mm256_set1_epi32(pair);
        for (sums, block) in sums.iter_mut().zip(blocks) {
            let halves: [std::arch::x86_64::__m128i; 2] = pulp::cast(block[i]);
            for (sum, half) in sums.iter_mut().zip(halves) {
                let values = simd.avx2._mm256_cvtepi8_epi16(half);
                *sum = simd.avx2._mm256_add_epi32(*sum, simd.avx2._mm256_madd_epi16(values, pair));
            }
        }
    }
    sums.map(pulp::cast)
}

/// For processors without either; the compiler makes of it what there is.
fn plain(blocks: &[&[Pairs]; STRIDE], probe: &[i32]) -> Products {
    let mut sums = [[0; BLOCK]; STRIDE];
    for (i, &pair) in probe.iter().enumerate() {
        let (first, second) = (i32::from(pair as i16), pair >> 16);
        for (sums, block) in sums.iter_mut().zip(blocks) {
            for (sum, values) in sums.iter_mut().zip(block[i].as_chunks::<2>().0) {
                *sum += i32::from(values[0]) * first + i32::from(values[1]) * second;
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
            Codes::new(&flat, 37).scan(arch, &probe, |row| {
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
            blocks in prop::collection::vec(any::<[i8; 32]>(), 4 * 5),
            probe in prop::collection::vec((-127i32..=127, -127i32..=127), 5),
        ) {
            let blocks: [&[Pairs]; STRIDE] = std::array::from_fn(|i| &blocks[i * 5..(i + 1) * 5]);
            let probe: Vec<i32> = probe.into_iter().map(|(a, b)| (a & 0xffff) | (b << 16)).collect();
            let plain = plain(&blocks, &probe);
            #[cfg(target_arch = "x86_64")]
            {
                if let Some(simd) = pulp::x86::V3::try_new() {
                    prop_assert_eq!(avx2(simd, &blocks, &probe), plain);
                }
                if let Some(simd) = pulp::x86::V4::try_new() {
                    prop_assert_eq!(avx512(simd, &blocks, &probe), plain);
                }
            }
        }
    }
}
