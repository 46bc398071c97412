//! Values of options.

use shmx::meta::{Encoding, StreamMeta};
use std::time::Duration;

/// How often `read` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Every {
    Frames(u64),
    Time(Duration),
}

/// A stream of `publish`.
#[derive(Clone, Debug)]
pub(crate) struct PublishStream {
    pub(crate) spec: shmx::StreamSpec,
    /// Elements in a frame.
    pub(crate) count: u32,
}

/// A time that is not negative, as all programs take it.
pub(crate) fn time(s: &str) -> Result<Duration, String> {
    shmx_record::duration::parse(s).map_err(|e| e.to_string())
}

pub(crate) fn positive_time(s: &str) -> Result<Duration, String> {
    time(s).and_then(|d| if d.is_zero() { Err("give more than 0 seconds".into()) } else { Ok(d) })
}

pub(crate) fn interval(s: &str) -> Result<Duration, String> {
    let d = time(s)?;
    let range = Duration::from_millis(20)..=Duration::from_secs(10);
    if range.contains(&d) { Ok(d) } else { Err("give 0.02 to 10 seconds".into()) }
}

/// Bytes, at least one: `4096`, `64K`, `10M`, `2G`, `1.5GiB`.
pub(crate) fn size(s: &str) -> Result<u64, String> {
    bytes(s).and_then(|n| if n == 0 { Err("give at least one byte".into()) } else { Ok(n) })
}

fn bytes(s: &str) -> Result<u64, String> {
    let wrong = || format!("`{s}` is not a size; give bytes, as in 4096, or with a unit, as in 64K, 10M, 2G");
    let (number, unit) = match s.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => s.split_at(at),
        None => (s, ""),
    };
    let shift = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let v: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = v * (1_u64 << shift) as f64;
    if (1.0..1e18).contains(&bytes) || v == 0.0 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Bytes of something in a region.
pub(crate) fn size_u32(s: &str) -> Result<u32, String> {
    let bytes = bytes(s)?;
    u32::try_from(bytes).map_err(|_| format!("`{s}` is too large; a region is smaller than 4G"))
}

/// Permission bits, octal.
pub(crate) fn mode(s: &str) -> Result<u32, String> {
    let digits = s.strip_prefix("0o").unwrap_or(s);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|&m| m <= 0o777 && !digits.starts_with('+'));
    mode.ok_or_else(|| format!("`{s}` is not a file mode; give octal permission bits, as in 0600 or 0660"))
}

/// A group by number, or by its name in the system's file.
pub(crate) fn group(s: &str) -> Result<u32, String> {
    if let Ok(number) = s.parse() {
        return Ok(number);
    }
    let file = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let found = file.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&s));
    let number = found.and_then(|f| f.get(2)?.parse().ok());
    number.ok_or_else(|| format!("/etc/group has no group `{s}`; give its number"))
}

/// A number of frames, or a time with its unit.
pub(crate) fn every(s: &str) -> Result<Every, String> {
    let form = || format!("`{s}` is neither a number of frames, as in 10, nor a time, as in 0.5s or 200ms");
    if s.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return time(s).map(Every::Time).map_err(|_| form());
    }
    s.parse().ok().filter(|&n| n > 0).map(Every::Frames).ok_or_else(form)
}

pub(crate) fn message_type(s: &str) -> Result<u32, String> {
    use shmx::abi::{CONTROL_BYE, CONTROL_HEARTBEAT, CONTROL_HELLO, TLV_CONTROL_USER};
    let form = || format!("`{s}` is not a message type; give a number above 0, user, user+N, hello, heartbeat or bye");
    let number = |s: &str| match s.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => s.parse().ok(),
    };
    match s {
        "user" => Ok(TLV_CONTROL_USER),
        "hello" => Ok(CONTROL_HELLO),
        "heartbeat" => Ok(CONTROL_HEARTBEAT),
        "bye" => Ok(CONTROL_BYE),
        _ => match s.strip_prefix("user+") {
            Some(n) => number(n).and_then(|n| TLV_CONTROL_USER.checked_add(n)).ok_or_else(form),
            None => number(s).filter(|&n| n > 0).ok_or_else(form),
        },
    }
}

pub(crate) fn rate(s: &str) -> Result<f64, String> {
    let v: f64 = s.parse().map_err(|_| "give a number of frames per second".to_owned())?;
    if (1e-4..=1e6).contains(&v) { Ok(v) } else { Err("give 0.0001 to 1000000 frames per second".into()) }
}

pub(crate) fn stream_spec(s: &str) -> Result<PublishStream, String> {
    let form = || format!("`{s}` is not ID:NAME:TYPE[xN][*COUNT|*WxH[@ENCODING]], as in 1:image:u8x3*640x480@bgr8");
    let (id, rest) = s.split_once(':').ok_or_else(form)?;
    let (name, ty) = rest.rsplit_once(':').ok_or_else(form)?;
    let id: u32 = id.parse().map_err(|_| form())?;
    let (ty, size) = ty.split_once('*').map_or((ty, None), |(ty, size)| (ty, Some(size)));
    let (ty, components) = match ty.split_once('x') {
        Some((ty, n)) => (ty, n.parse().ok().filter(|&n| n > 0).ok_or_else(form)?),
        None => (ty, 1),
    };
    if name.is_empty() {
        return Err(form());
    }
    let ty = shmx::ElementType::from_name(ty).ok_or_else(|| {
        let names: Vec<_> = shmx::ElementType::ALL.iter().map(|t| t.name()).collect();
        format!("`{ty}` is not an element type; these are: {}", names.join(", "))
    })?;
    let spec = shmx::StreamSpec::new(id, name, ty, components);
    let Some(size) = size else { return Ok(PublishStream { spec, count: 1 }) };
    let (size, encoding) = size.split_once('@').map_or((size, None), |(size, encoding)| (size, Some(encoding)));
    let Some((w, h)) = size.split_once('x') else {
        let count = elem_count(size).and_then(|n| if encoding.is_some() { Err(form()) } else { Ok(n) })?;
        return Ok(PublishStream { spec, count });
    };
    let (w, h) = (elem_count(w)?, elem_count(h)?);
    let pixels = w.checked_mul(h).ok_or_else(form)?;
    let encoding = encoding.map(|e| Encoding::from(e.to_owned())).or_else(|| Encoding::implied(ty, components));
    let Some(encoding) = encoding else {
        // Elements that are no pixels have a shape all the same.
        return Ok(PublishStream { spec: spec.meta(&StreamMeta::new().shape([h, w])), count: pixels });
    };
    if !encoding.is_known() {
        return Err(format!(
            "`{s}`: the encoding `{encoding}` is not known; docs/streams.md lists them (rgb8, bgr8, mono8, ...)"
        ));
    }
    let meta = StreamMeta::image(h, w, encoding);
    if let Some(problem) = meta.check(ty, components, None).first() {
        return Err(format!("`{s}`: {problem}"));
    }
    let count = meta.elements(ty, components).unwrap_or(pixels.into()).try_into().map_err(|_| form())?;
    Ok(PublishStream { spec: spec.meta(&meta), count })
}

pub(crate) fn elem_count(s: &str) -> Result<u32, String> {
    s.parse().ok().filter(|&n| n > 0).ok_or_else(|| format!("`{s}` is not a number of elements; give 1 or more"))
}

pub(crate) fn elems_spec(s: &str) -> Result<(u32, u32), String> {
    let form = || format!("`{s}` is not ID=COUNT, as in 1=307200");
    let (id, count) = s.split_once('=').ok_or_else(form)?;
    Ok((id.parse().map_err(|_| form())?, elem_count(count)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_specs() {
        let s = stream_spec("1:a:b:u8x3*307200").unwrap();
        assert_eq!((s.spec.id, s.spec.name.as_str(), s.spec.components, s.count), (1, "a:b", 3, 307_200));
        assert_eq!(stream_spec("7:t:F64").unwrap().spec.bytes_per_elem, 8);
        let of = |s: &str| stream_spec(s).map(|s| (s.count, String::from_utf8(s.spec.extra).unwrap())).unwrap();
        let image = |encoding: &str| format!(r#"{{"role":"image","shape":[480,640],"encoding":"{encoding}"}}"#);
        assert_eq!(of("1:image:u8x3*640x480"), (307_200, image("rgb8")));
        assert_eq!(of("1:image:u8x3*640x480@bgr8"), (307_200, image("bgr8")));
        assert_eq!(of("1:image:u8*640x480@bgr8"), (921_600, image("bgr8")), "single bytes");
        assert_eq!(of("1:grid:f64x2*640x480"), (307_200, r#"{"shape":[480,640]}"#.to_owned()), "no pixels");
        for bad in [
            "",
            "1",
            "1:a:u8*65536x65536",
            "1:a:u8*2x",
            "1:a:u8x3*2@bgr8",
            "1:a:u8x3*2x2@",
            "1:a:u8x3*2x2@nothing",
            "1:a:u8x2*2x2@bgr8",
            "1:a",
            "1:a:",
            "x:a:u8",
            "1::u8",
            "1:a:u9",
            "1:a:u8x0",
            "1:a:u8*0",
            "1:a:u8x",
        ] {
            assert!(stream_spec(bad).is_err(), "{bad}");
        }
        assert!(rate("nan").is_err() && rate("0").is_err() && time("-1").is_err() && time("nan").is_err());
        assert_eq!(elems_spec("1=5"), Ok((1, 5)));
    }

    #[test]
    fn times_sizes_modes_and_groups() {
        assert_eq!(time("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(time("50us"), Ok(Duration::from_micros(50)));
        assert_eq!(time("1e-3s"), Ok(Duration::from_millis(1)));
        assert_eq!([time("2m"), time("1d")].map(Result::unwrap).map(|d| d.as_secs()), [120, 86400]);
        assert_eq!([size("4096"), size("64k"), size("1.5GiB")], [Ok(4096), Ok(65536), Ok(3 << 29)]);
        for bad in ["", "x", "-1", "nan", "inf", "1y", "-5s"] {
            assert!(time(bad).is_err() && size(bad).is_err(), "{bad}");
        }
        assert!(
            size("0").is_err()
                && size("0.5").is_err()
                && size_u32("0") == Ok(0)
                && size("1X").is_err()
                && size_u32("4G").is_err()
                && size_u32("4095M").is_ok()
        );
        assert_eq!([mode("0660"), mode("600"), mode("0o644")], [Ok(0o660), Ok(0o600), Ok(0o644)]);
        assert!(["", "-1", "+6", "999", "01777", "rw"].iter().all(|m| mode(m).is_err()));
        assert!(group("7") == Ok(7) && group("").is_err() && group("no such group").is_err());
    }

    #[test]
    fn message_types_and_paces() {
        assert_eq!(message_type("user+0x10"), Ok(0x3010));
        assert_eq!((message_type("12288"), message_type("0x3000")), (Ok(0x3000), Ok(0x3000)));
        for bad in ["", "0", "user+", "user+4294967295", "0x", "-1", "4294967296"] {
            assert!(message_type(bad).is_err(), "{bad}");
        }
        assert_eq!(every("10"), Ok(Every::Frames(10)));
        assert_eq!(every("0.5s"), Ok(Every::Time(Duration::from_millis(500))));
        assert_eq!(every("200ms"), Ok(Every::Time(Duration::from_millis(200))));
        for bad in ["", "0", "s", "ms", "-1s", "nans", "1.5"] {
            assert!(every(bad).is_err(), "{bad}");
        }
    }
}
