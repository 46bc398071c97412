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

pub(super) fn seconds(s: &str) -> Result<Duration, String> {
    let v: f64 = s.parse().map_err(|_| "give a number of seconds".to_owned())?;
    let d = Duration::try_from_secs_f64(v).map_err(|_| "give a number of seconds that is not negative".to_owned())?;
    // Instants cannot go arbitrarily far.
    Ok(d.min(Duration::from_secs(100 * 365 * 24 * 3600)))
}

pub(super) fn positive_seconds(s: &str) -> Result<Duration, String> {
    seconds(s).and_then(|d| if d.is_zero() { Err("give more than 0 seconds".into()) } else { Ok(d) })
}

pub(super) fn interval(s: &str) -> Result<Duration, String> {
    let d = seconds(s)?;
    let range = Duration::from_millis(20)..=Duration::from_secs(10);
    if range.contains(&d) { Ok(d) } else { Err("give between 0.02 and 10 seconds".into()) }
}

pub(super) fn every(s: &str) -> Result<Every, String> {
    let form = || format!("`{s}` is neither a number of frames, as in 10, nor a time, as in 0.5s or 200ms");
    let time = |number: &str, unit: f64| {
        let v: f64 = number.parse().map_err(|_| form())?;
        Duration::try_from_secs_f64(v * unit).map(Every::Time).map_err(|_| form())
    };
    if let Some(number) = s.strip_suffix("ms") {
        time(number, 1e-3)
    } else if let Some(number) = s.strip_suffix('s') {
        time(number, 1.0)
    } else {
        s.parse().ok().filter(|&n| n > 0).map(Every::Frames).ok_or_else(form)
    }
}

pub(super) fn message_type(s: &str) -> Result<u32, String> {
    use shmx::abi::{CONTROL_BYE, CONTROL_HEARTBEAT, CONTROL_HELLO, TLV_CONTROL_USER};
    let form = || format!("`{s}` is no message type; give a number above 0, user, user+N, hello, heartbeat or bye");
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

pub(super) fn rate(s: &str) -> Result<f64, String> {
    let v: f64 = s.parse().map_err(|_| "give frames per second".to_owned())?;
    if (1e-4..=1e6).contains(&v) { Ok(v) } else { Err("give between 0.0001 and 1000000 frames per second".into()) }
}

pub(super) fn stream_spec(s: &str) -> Result<PublishStream, String> {
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
        format!("`{ty}` is no element type; there are {}", names.join(", "))
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
            "`{s}`: `{encoding}` is no known encoding; docs/streams.md lists them, rgb8 and bgr8 first"
        ));
    }
    let meta = StreamMeta::image(h, w, encoding);
    if let Some(problem) = meta.check(ty, components, None).first() {
        return Err(format!("`{s}`: {problem}"));
    }
    let count = meta.elements(ty, components).unwrap_or(pixels.into()).try_into().map_err(|_| form())?;
    Ok(PublishStream { spec: spec.meta(&meta), count })
}

pub(super) fn elem_count(s: &str) -> Result<u32, String> {
    s.parse().ok().filter(|&n| n > 0).ok_or_else(|| format!("`{s}` is not a number of elements of at least 1"))
}

pub(super) fn elems_spec(s: &str) -> Result<(u32, u32), String> {
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
        assert!(rate("nan").is_err() && rate("0").is_err() && seconds("-1").is_err() && seconds("nan").is_err());
        assert_eq!(elems_spec("1=5"), Ok((1, 5)));
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
