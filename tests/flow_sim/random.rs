//! Numbers that look random and are the same in every run.

#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }

    /// Heavy-tailed with this mean, at most an hour.
    pub fn pareto(&mut self, mean: f64) -> f64 {
        const ALPHA: f64 = 1.6;
        let scale = mean * (ALPHA - 1.0) / ALPHA;
        (scale * (1.0 - self.share()).powf(-1.0 / ALPHA)).min(3600.0)
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let at = (self.share() * of.len() as f64) as usize;
        of.get(at).copied()
    }

    /// Instants of a Poisson process whose rate changes and is at most `peak`.
    pub fn poisson(&mut self, secs: f64, peak: f64, rate: impl Fn(f64) -> f64) -> Vec<f64> {
        let (mut at, mut all) = (0.0, Vec::new());
        loop {
            at += self.exponential(1.0 / peak);
            if at > secs {
                return all;
            }
            if self.share() * peak <= rate(at) {
                all.push(at);
            }
        }
    }
}
