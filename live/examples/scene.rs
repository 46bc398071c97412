//! A made-up robot to look at: camera, depth, lidar, poses and measurements, in two regions.
//!
//! `cargo run --release --example scene -- PREFIX [WIDTH HEIGHT HZ SECONDS]`; publish times are printed at the end.

use shmx::meta::{Role, StreamMeta};
use shmx::{Server, Stream, StreamSpec};
use std::f64::consts::TAU;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CAMERA: Stream<[u8; 3]> = Stream::new(1, "camera");
const DEPTH: Stream<u16> = Stream::new(2, "depth");
const EXPOSURE: Stream<f32> = Stream::new(3, "exposure");
const LIDAR: Stream<[f32; 4]> = Stream::new(1, "lidar");
const POSES: Stream<[f64; 7]> = Stream::new(2, "trajectory");
const GYRO: Stream<[f64; 3]> = Stream::new(3, "gyro");
const BATTERY: Stream<f32> = Stream::new(4, "battery");
const SPECTRUM: Stream<f32> = Stream::new(5, "spectrum");
const STEP: Stream<u64> = Stream::new(6, "step");

const DEPTH_SIZE: (u32, u32) = (320, 240);
const RAYS: u32 = 24_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let prefix = args.first().cloned().unwrap_or_else(|| "robot".to_owned());
    let number = |i: usize, or: f64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(or);
    let (width, height) = (number(1, 640.0) as u32, number(2, 480.0) as u32);
    let (hz, seconds) = (number(3, 30.0), number(4, 1e9));
    let spec = |s: StreamSpec, unit: &str| s.meta(&StreamMeta::new().unit(unit));
    let mut camera = Server::builder(format!("{prefix}-camera"))
        .stream(CAMERA.spec().meta(&StreamMeta::image(height, width, "rgb8")), width * height)
        .stream(
            DEPTH.spec().meta(&StreamMeta::image(DEPTH_SIZE.1, DEPTH_SIZE.0, "16UC1").unit("mm")),
            DEPTH_SIZE.0 * DEPTH_SIZE.1,
        )
        .stream(spec(EXPOSURE.spec(), "ms"), 1)
        .slots(8)
        .create()?;
    let mut base = Server::builder(format!("{prefix}-base"))
        .stream(LIDAR.spec().meta(&StreamMeta::points().frame("map")), RAYS)
        .stream(POSES.spec().meta(&StreamMeta::new().role(Role::Pose).unit("m").frame("map")), 64)
        .stream(spec(GYRO.spec(), "rad/s"), 1)
        .stream(spec(BATTERY.spec(), "V"), 1)
        .stream(spec(SPECTRUM.spec(), "dB"), 512)
        .stream(STEP, 1)
        .slots(4)
        .create()?;
    let mut picture = vec![[0_u8; 3]; (width * height) as usize];
    let mut depth = vec![0_u16; (DEPTH_SIZE.0 * DEPTH_SIZE.1) as usize];
    let mut published = Vec::new();
    std::thread::spawn(|| STOP.store(ask_to_end(), Ordering::Relaxed));
    let start = Instant::now();
    for step in 0_u64.. {
        let t = step as f64 / hz;
        if t > seconds || STOP.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(Duration::from_secs_f64(t).saturating_sub(start.elapsed()));
        camera.poll_control(16);
        base.poll_control(16);
        paint(&mut picture, width, t);
        measure(&mut depth, t);
        let before = Instant::now();
        if let Ok(mut f) = camera.begin_frame() {
            f.append_stream(CAMERA, &picture)?;
            f.append_stream(DEPTH, &depth)?;
            f.append_value(EXPOSURE, (8.0 + 2.0 * (t * 0.7).sin()) as f32)?;
            f.publish_frame(t)?;
        }
        published.push(before.elapsed());
        if let Ok(mut f) = base.begin_frame() {
            f.append_stream(LIDAR, &rays(t))?;
            f.append_stream(POSES, &trajectory(t))?;
            f.append_value(GYRO, [0.4 * (t * 1.3).sin(), 0.25 * (t * 2.1 + 1.0).cos(), 0.6 * (t * 0.5).sin()])?;
            f.append_value(BATTERY, (24.6 - 0.02 * (t % 60.0) + 0.05 * noise(step)) as f32)?;
            f.append_stream(SPECTRUM, &spectrum(t, step))?;
            f.append_value(STEP, step)?;
            f.publish_frame(t)?;
        }
    }
    published.sort_unstable();
    let at = |share: f64| published[((published.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "{} frames, publish time in us: p50 {:.0}, p90 {:.0}, p99 {:.0}",
        published.len(),
        at(0.5),
        at(0.9),
        at(0.99)
    );
    Ok(())
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Waits for a signal: the regions are removed in order then.
fn ask_to_end() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
    runtime.block_on(async {
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
            return false;
        };
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        true
    })
}

/// -1 to 1, the same for the same number.
fn noise(n: u64) -> f64 {
    let mut x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (x >> 40) as f64 / f64::from(1_u32 << 23) - 1.0
}

/// A floor with a sky above, and a ball that rolls.
fn paint(picture: &mut [[u8; 3]], width: u32, t: f64) {
    let w = width as usize;
    let h = picture.len() / w;
    let scale = h as f64;
    let (cx, cy, r) = (w as f64 * (0.5 + 0.3 * (t * 0.8).sin()), scale * 0.6, scale * 0.16);
    let spin = t * 2.4;
    for (y, row) in picture.chunks_exact_mut(w).enumerate() {
        let v = y as f64 / scale;
        for (x, p) in row.iter_mut().enumerate() {
            let (dx, dy) = ((x as f64 - cx) / r, (y as f64 - cy) / r);
            let d = dx * dx + dy * dy;
            *p = if d < 1.0 {
                let z = (1.0 - d).sqrt();
                let light = (0.35 + 0.65 * (0.5 * z - 0.5 * dx - 0.7 * dy).max(0.0)).min(1.0);
                let stripe = ((dx * spin.cos() + z * spin.sin()).atan2(dy) * 3.0).sin() > 0.0;
                let c: [f64; 3] = if stripe { [240.0, 92.0, 62.0] } else { [252.0, 236.0, 214.0] };
                c.map(|c| (c * light) as u8)
            } else if v < 0.42 {
                let g = v / 0.42;
                [(40.0 + 110.0 * g) as u8, (76.0 + 110.0 * g) as u8, (128.0 + 90.0 * g) as u8]
            } else {
                let depth = 0.06 / (v - 0.40);
                let (fx, fy) = ((x as f64 / scale - w as f64 / scale / 2.0) * depth * 12.0, depth * 12.0 + t);
                let even = (fx.floor() as i64 + fy.floor() as i64) & 1 == 0;
                let fog = (1.0 - depth * 0.9).clamp(0.25, 1.0);
                let shadow = if (dx * dx + (dy - 1.0) * (dy - 1.0) * 9.0) < 1.1 { 0.45 } else { 1.0 };
                let c = if even { [74.0, 84.0, 96.0] } else { [150.0, 158.0, 168.0] };
                c.map(|c: f64| (c * fog * shadow) as u8)
            };
        }
    }
}

fn measure(depth: &mut [u16], t: f64) {
    let (w, h) = (DEPTH_SIZE.0 as f64, f64::from(DEPTH_SIZE.1));
    let (cx, cy, r) = (w * (0.5 + 0.3 * (t * 0.8).sin()), h * 0.6, h * 0.16);
    for (i, d) in depth.iter_mut().enumerate() {
        let (x, y) = (i as f64 % w, (i as f64 / w).floor());
        let near = ((x - cx) / r).powi(2) + ((y - cy) / r).powi(2);
        let floor = if y / h > 0.44 { 700.0 / (y / h - 0.34) } else { 7000.0 + 600.0 * (x * 0.02).sin() };
        *d = if near < 1.0 { (1900.0 - 300.0 * (1.0 - near).sqrt()) as u16 } else { floor.min(9000.0) as u16 };
    }
}

/// A room with pillars, as a turning scanner sees it; the fourth number is the intensity.
fn rays(t: f64) -> Vec<[f32; 4]> {
    let rings = 24;
    let pillars = [(3.0, 2.0), (-2.5, 3.5), (-4.0, -2.0), (2.0, -3.5), (5.5, -0.5)];
    (0..RAYS)
        .map(|i| {
            let ring = f64::from(i % rings);
            let turn = f64::from(i / rings) / f64::from(RAYS / rings) * TAU + t * 0.2;
            let tilt = (ring / f64::from(rings) - 0.55) * 0.7;
            let (dx, dy) = (turn.cos(), turn.sin());
            let wall = (9.0 / dx.abs()).min(6.5 / dy.abs());
            let mut range: f64 = wall;
            let mut bright = 0.35;
            for &(px, py) in &pillars {
                let along = px * dx + py * dy;
                let off = (px * dy - py * dx).abs();
                if along > 0.0 && off < 0.45 {
                    let hit = along - (0.45_f64.powi(2) - off * off).sqrt();
                    if hit < range {
                        (range, bright) = (hit, 0.9);
                    }
                }
            }
            let mut z = 1.2 + range * tilt.tan();
            if z < 0.0 {
                range = 1.2 / -tilt.tan();
                (z, bright) = (0.0, 0.1);
            }
            let jitter = 1.0 + 0.002 * noise(u64::from(i) + (t * 30.0) as u64 * 77);
            [(dx * range * jitter) as f32, (dy * range * jitter) as f32, z as f32, bright]
        })
        .collect()
}

fn trajectory(t: f64) -> Vec<[f64; 7]> {
    (0..40)
        .map(|i| {
            let a = t * 0.4 - f64::from(i) * 0.09;
            let (x, y) = (4.6 * a.cos(), 3.4 * (2.0 * a).sin() / 1.6);
            let heading = (2.0 * 3.4 / 1.6 * (2.0 * a).cos()).atan2(-4.6 * a.sin());
            [x, y, 0.3 + 0.1 * (a * 3.0).sin(), 0.0, 0.0, (heading / 2.0).sin(), (heading / 2.0).cos()]
        })
        .collect()
}

fn spectrum(t: f64, step: u64) -> Vec<f32> {
    let peak = |f: f64, at: f64, width: f64, high: f64| high * (-((f - at) / width).powi(2)).exp();
    (0..512_u64)
        .map(|i| {
            let f = i as f64;
            let floor = -92.0 + 3.0 * noise(step * 512 + i);
            let high = peak(f, 110.0 + 20.0 * (t * 0.6).sin(), 6.0, 62.0)
                + peak(f, 240.0, 3.0, 48.0 + 6.0 * (t * 2.0).sin())
                + peak(f, 380.0 + 30.0 * (t * 0.23).cos(), 11.0, 40.0);
            (floor + high) as f32
        })
        .collect()
}
