//! Two disc galaxies that pass each other: heavy cores, and stars that feel the cores only.
//!
//! The restricted n-body model that explained the tails and bridges of colliding galaxies: cheap, because stars do not
//! attract each other, and it shows what the full model shows.

/// A heavy body.
#[derive(Clone, Copy, Debug)]
pub struct Core {
    /// Where it is.
    pub position: [f64; 3],
    /// How it moves.
    pub velocity: [f64; 3],
    /// Its mass.
    pub mass: f64,
}

/// The state of the simulation.
#[derive(Clone, Debug)]
pub struct Galaxies {
    /// The heavy bodies.
    pub cores: [Core; 2],
    /// Where the stars are.
    pub positions: Vec<[f32; 3]>,
    /// How they move.
    pub velocities: Vec<[f32; 3]>,
    /// Time since the beginning.
    pub time: f64,
    /// Steps since the beginning.
    pub steps: u64,
    /// Strength of gravity.
    pub gravity: f64,
    seed: u64,
}

/// Length below which gravity is softened, squared.
const SOFTENING: f64 = 0.02;

fn add(a: [f64; 3], b: [f64; 3], k: f64) -> [f64; 3] {
    [a[0] + b[0] * k, a[1] + b[1] * k, a[2] + b[2] * k]
}

impl Galaxies {
    /// Two galaxies with `count` stars together.
    #[must_use]
    pub fn new(count: usize, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let core = |x, y, z, vx: f64, vy, mass| Core { position: [x, y, z], velocity: [vx, vy, 0.0], mass };
        let cores = [core(-1.6, -0.6, 0.1, 0.42, 0.06, 1.0), core(1.6, 0.6, -0.1, -0.52, -0.07, 0.8)];
        // The discs lie askew, one turns with the passage and one against it.
        let tilts = [[0.35_f64, 0.0, 1.0], [0.9, -0.5, -1.0]];
        let (mut positions, mut velocities) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for i in 0..count {
            let which = usize::from(i % 9 >= 5);
            let (core, tilt) = (&cores[which], tilts[which]);
            let r = 0.12 + 0.78 * rng.f64().sqrt();
            let angle = rng.f64() * std::f64::consts::TAU;
            let (x, y, z) = (r * angle.cos(), r * angle.sin(), 0.03 * (rng.f64() - 0.5));
            // The speed of a circle in the softened field.
            let v = (core.mass * r * r / (r * r + SOFTENING).powf(1.5)).sqrt() * tilt[2];
            let (vx, vy) = (-v * angle.sin(), v * angle.cos());
            let turn = |p: [f64; 3]| {
                let (s, c) = tilt[0].sin_cos();
                let [x, y, z] = [p[0], p[1] * c - p[2] * s, p[1] * s + p[2] * c];
                let (s, c) = tilt[1].sin_cos();
                [x * c + z * s, y, z * c - x * s]
            };
            positions.push(add(turn([x, y, z]), core.position, 1.0).map(|v| v as f32));
            velocities.push(add(turn([vx, vy, 0.0]), core.velocity, 1.0).map(|v| v as f32));
        }
        Self { cores, positions, velocities, time: 0.0, steps: 0, gravity: 1.0, seed }
    }

    /// Begins anew with the same stars and the present gravity.
    pub fn reset(&mut self) {
        let gravity = self.gravity;
        *self = Self { gravity, ..Self::new(self.positions.len(), self.seed) };
    }

    fn pull(&self, at: [f64; 3], from: &Core) -> [f64; 3] {
        let d = add(from.position, at, -1.0);
        let r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + SOFTENING;
        let k = self.gravity * from.mass / (r2 * r2.sqrt());
        [d[0] * k, d[1] * k, d[2] * k]
    }

    /// One step of `dt`: kick, drift, kick.
    pub fn step(&mut self, dt: f64) {
        self.kick(dt / 2.0);
        for c in &mut self.cores {
            c.position = add(c.position, c.velocity, dt);
        }
        let d = dt as f32;
        for (p, v) in self.positions.iter_mut().zip(&self.velocities) {
            for i in 0..3 {
                p[i] += v[i] * d;
            }
        }
        self.kick(dt / 2.0);
        self.time += dt;
        self.steps += 1;
    }

    fn kick(&mut self, dt: f64) {
        let [a, b] = self.cores;
        let (pa, pb) = (self.pull(a.position, &b), self.pull(b.position, &a));
        self.cores[0].velocity = add(a.velocity, pa, dt);
        self.cores[1].velocity = add(b.velocity, pb, dt);
        let soft = SOFTENING as f32;
        let pulls = self.cores.map(|c| (c.position.map(|v| v as f32), (self.gravity * c.mass * dt) as f32));
        for (p, v) in self.positions.iter().zip(&mut self.velocities) {
            for (at, k) in &pulls {
                let d = [at[0] - p[0], at[1] - p[1], at[2] - p[2]];
                let r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + soft;
                let k = k / (r2 * r2.sqrt());
                for i in 0..3 {
                    v[i] += d[i] * k;
                }
            }
        }
    }

    /// Energy of the two cores, which the steps should keep.
    #[must_use]
    pub fn energy(&self) -> f64 {
        let kinetic = |c: &Core| c.mass * c.velocity.iter().map(|v| v * v).sum::<f64>() / 2.0;
        let [a, b] = &self.cores;
        let d = add(a.position, b.position, -1.0);
        let r = (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + SOFTENING).sqrt();
        kinetic(a) + kinetic(b) - self.gravity * a.mass * b.mass / r
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_is_kept_and_the_same_seed_gives_the_same_stars() {
        let mut g = Galaxies::new(90, 1);
        let before = g.energy();
        for _ in 0..2000 {
            g.step(0.005);
        }
        assert!((g.energy() - before).abs() < 0.01 * before.abs(), "{before} became {}", g.energy());
        assert!(g.positions.iter().flatten().all(|v| v.is_finite()));
        g.reset();
        assert_eq!(g.positions, Galaxies::new(90, 1).positions);
    }
}
