//! CMA-ES: minimises a function of several variables without derivatives, by a cloud of samples that adapts its shape.
//!
//! After N. Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv 1604.00772), with its default parameters.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// A function to minimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A curved valley; the minimum 0 is at (1, 1, ...).
    Rosenbrock,
    /// Many local minima; the minimum 0 is at the origin.
    Rastrigin,
    /// Four minima of 0, in two variables (further ones count as squares).
    Himmelblau,
}

impl Problem {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rosenbrock, Self::Rastrigin, Self::Himmelblau];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rosenbrock => "rosenbrock",
            Self::Rastrigin => "rastrigin",
            Self::Himmelblau => "himmelblau",
        }
    }

    /// Its value.
    #[must_use]
    pub fn value(self, x: &[f64]) -> f64 {
        match self {
            Self::Rosenbrock => x.windows(2).map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum(),
            Self::Rastrigin => x.iter().map(|v| 10.0 + v * v - 10.0 * (std::f64::consts::TAU * v).cos()).sum(),
            Self::Himmelblau => {
                let (a, b) = (x.first().copied().unwrap_or(0.0), x.get(1).copied().unwrap_or(0.0));
                let rest: f64 = x.iter().skip(2).map(|v| v * v).sum();
                (a * a + b - 11.0).powi(2) + (a + b * b - 7.0).powi(2) + rest
            }
        }
    }
}

/// The state of the optimiser after a generation.
#[derive(Clone, Debug)]
pub struct CmaEs {
    problem: Problem,
    rng: fastrand::Rng,
    weights: Vec<f64>,
    mu_eff: f64,
    mean: DVector<f64>,
    sigma: f64,
    c: DMatrix<f64>,
    path_c: DVector<f64>,
    path_sigma: DVector<f64>,
    /// Eigenvectors, and square roots of the eigenvalues.
    b: DMatrix<f64>,
    d: DVector<f64>,
    /// The last generation, best first, and its values.
    population: Vec<(f64, DVector<f64>)>,
    best: (f64, Vec<f64>),
    generation: u64,
    evaluations: u64,
}

impl CmaEs {
    /// A search from a random place.
    #[must_use]
    pub fn new(problem: Problem, dimensions: usize, lambda: usize, seed: u64) -> Self {
        let n = dimensions.max(2);
        let lambda = lambda.max(4);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mean = DVector::from_fn(n, |_, _| 8.0 * rng.f64() - 4.0);
        let mu = lambda / 2;
        let mut weights: Vec<f64> =
            (0..mu).map(|i| ((lambda as f64 + 1.0) / 2.0).ln() - ((i + 1) as f64).ln()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= sum);
        let mu_eff = 1.0 / weights.iter().map(|w| w * w).sum::<f64>();
        Self {
            problem,
            rng,
            weights,
            mu_eff,
            sigma: 1.5,
            c: DMatrix::identity(n, n),
            path_c: DVector::zeros(n),
            path_sigma: DVector::zeros(n),
            b: DMatrix::identity(n, n),
            d: DVector::from_element(n, 1.0),
            population: vec![(f64::INFINITY, mean.clone()); lambda],
            best: (f64::INFINITY, mean.as_slice().to_vec()),
            mean,
            generation: 0,
            evaluations: 0,
        }
    }

    fn normal(&mut self) -> f64 {
        // Box and Muller; 1 - u is never 0.
        (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * self.rng.f64()).cos()
    }

    /// One generation: sample, rank, move and reshape the cloud.
    pub fn step(&mut self) {
        let n = self.mean.len();
        let nf = n as f64;
        let mut steps = Vec::with_capacity(self.population.len());
        for _ in 0..self.population.len() {
            let z = DVector::from_fn(n, |_, _| 0.0).map(|_: f64| self.normal());
            let y = &self.b * self.d.component_mul(&z);
            let x = &self.mean + &y * self.sigma;
            let value = self.problem.value(x.as_slice());
            steps.push((if value.is_nan() { f64::INFINITY } else { value }, x, y));
        }
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.evaluations += steps.len() as u64;
        self.generation += 1;
        if let Some((value, x, _)) = steps.first()
            && *value < self.best.0
        {
            self.best = (*value, x.as_slice().to_vec());
        }
        let mut step = DVector::zeros(n);
        for (w, (_, _, y)) in self.weights.iter().zip(&steps) {
            step += y * *w;
        }
        self.mean += &step * self.sigma;
        let mu = self.mu_eff;
        let c_sigma = (mu + 2.0) / (nf + mu + 5.0);
        let damping = 1.0 + 2.0 * (((mu - 1.0) / (nf + 1.0)).sqrt() - 1.0).max(0.0) + c_sigma;
        let c_c = (4.0 + mu / nf) / (nf + 4.0 + 2.0 * mu / nf);
        let c_1 = 2.0 / ((nf + 1.3).powi(2) + mu);
        let c_mu = (1.0 - c_1).min(2.0 * (mu - 2.0 + 1.0 / mu) / ((nf + 2.0).powi(2) + mu));
        let expected = nf.sqrt() * (1.0 - 1.0 / (4.0 * nf) + 1.0 / (21.0 * nf * nf));
        let whitened = &self.b * (self.b.transpose() * &step).component_div(&self.d);
        self.path_sigma = &self.path_sigma * (1.0 - c_sigma) + whitened * (c_sigma * (2.0 - c_sigma) * mu).sqrt();
        let length = self.path_sigma.norm();
        let fade = (1.0 - (1.0 - c_sigma).powf(2.0 * (self.generation as f64))).sqrt();
        let stalled = length / fade / expected >= 1.4 + 2.0 / (nf + 1.0);
        let gain = if stalled { 0.0 } else { (c_c * (2.0 - c_c) * mu).sqrt() };
        self.path_c = &self.path_c * (1.0 - c_c) + &step * gain;
        let lost = if stalled { c_1 * c_c * (2.0 - c_c) } else { 0.0 };
        let mut c = &self.c * (1.0 - c_1 - c_mu + lost) + &self.path_c * self.path_c.transpose() * c_1;
        for (w, (_, _, y)) in self.weights.iter().zip(&steps) {
            c += y * y.transpose() * (c_mu * *w);
        }
        self.c = (&c + c.transpose()) * 0.5;
        self.sigma = (self.sigma * ((c_sigma / damping) * (length / expected - 1.0)).exp()).clamp(1e-300, 1e6);
        let eigen = SymmetricEigen::new(self.c.clone());
        self.d = eigen.eigenvalues.map(|v| v.max(1e-30).sqrt());
        self.b = eigen.eigenvectors;
        self.population = steps.into_iter().map(|(v, x, _)| (v, x)).collect();
    }

    /// Whether the cloud has become a point.
    #[must_use]
    pub fn converged(&self) -> bool {
        self.sigma * self.d.max() < 1e-10
    }

    /// The last generation, sample after sample, best first.
    pub fn samples(&self) -> impl Iterator<Item = f64> + '_ {
        self.population.iter().flat_map(|(_, x)| x.iter().copied())
    }

    /// The values of the last generation, best first.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.population.iter().map(|(v, _)| *v)
    }

    /// Middle of the cloud.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        self.mean.as_slice()
    }

    /// Best value found, and where.
    #[must_use]
    pub fn best(&self) -> (f64, &[f64]) {
        (self.best.0, &self.best.1)
    }

    /// Overall width of the cloud.
    #[must_use]
    pub const fn sigma(&self) -> f64 {
        self.sigma
    }

    /// Lengths of the cloud's axes.
    pub fn axes(&self) -> impl Iterator<Item = f64> + '_ {
        self.d.iter().map(|d| d * self.sigma)
    }

    /// Generations so far.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Function values computed so far.
    #[must_use]
    pub const fn evaluations(&self) -> u64 {
        self.evaluations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minima_are_found() {
        for (problem, dimensions) in [(Problem::Rosenbrock, 2), (Problem::Rosenbrock, 6), (Problem::Himmelblau, 2)] {
            let mut es = CmaEs::new(problem, dimensions, 16, 7);
            while !es.converged() && es.generation() < 2000 {
                es.step();
            }
            assert!(es.best().0 < 1e-12, "{problem:?} in {dimensions}: {:?}", es.best());
        }
        // Many minima need a large population.
        let mut es = CmaEs::new(Problem::Rastrigin, 4, 200, 3);
        while !es.converged() && es.generation() < 2000 {
            es.step();
        }
        assert!(es.best().0 < 1e-9, "{:?}", es.best());
    }
}
