use super::*;
use proptest::prelude::*;
use shmx_abi::ElementType::{F32, F64, U8, U16, U64};

fn parse(extra: &str) -> (StreamMeta, Vec<String>) {
    let (meta, problems) = StreamMeta::parse(extra.as_bytes());
    (meta, problems.iter().map(ToString::to_string).collect())
}

fn clean(extra: &str) -> StreamMeta {
    let (meta, problems) = parse(extra);
    assert!(problems.is_empty(), "{extra}: {problems:?}");
    meta
}

fn check(meta: &StreamMeta, ty: ElementType, components: u32, elements: Option<u64>) -> Vec<String> {
    meta.check(ty, components, elements).iter().map(ToString::to_string).collect()
}

#[test]
fn all_keys_are_read_and_written() {
    let text = [
        r#"{"role":"image","shape":[480,640],"encoding":"mono16","row_step":1536,"#,
        r#""unit":"lx","frame":"cam","child":"lens","clock":"gps","view":"values"}"#,
    ]
    .concat();
    let meta = clean(&text);
    assert_eq!((meta.role.as_ref(), meta.shape.as_deref()), (Some(&Role::Image), Some(&[480, 640][..])));
    assert_eq!((meta.encoding.as_ref(), meta.row_step), (Some(&Encoding::Mono16), Some(1536)));
    assert_eq!((meta.unit.as_deref(), meta.frame.as_deref()), (Some("lx"), Some("cam")));
    assert_eq!(meta.child.as_deref(), Some("lens"));
    assert_eq!((meta.clock.as_ref(), meta.view.as_ref()), (Some(&Clock::Other("gps".into())), Some(&View::Values)));
    assert_eq!(meta.to_extra(), text.as_bytes());
    assert_eq!(
        clean(r#" {"frame": "a\"é\\", "unit": null, "role": "x"} "#).to_extra(),
        r#"{"role":"x","frame":"a\"é\\"}"#.as_bytes()
    );
    assert!(StreamMeta::new().is_empty() && StreamMeta::new().to_extra().is_empty());
    assert_eq!(StreamMeta::new().unit("").frame("").child("").encoding("").row_step(0), StreamMeta::new());
}

#[test]
fn keys_of_former_versions_are_read() {
    let meta = clean(r#"{"width":640,"height":480}"#);
    assert_eq!(meta, StreamMeta::new().role(Role::Image).shape([480, 640]));
    assert_eq!(meta.image_encoding(U8, 3), Some(Encoding::Rgb8));
    let meta = clean(r#"{"width":4,"height":2,"encoding":"bgr8","step":16}"#);
    assert_eq!(meta, StreamMeta::image(2, 4, "bgr8").row_step(16));
    assert_eq!(clean(r#"{"encoding":"jpeg"}"#).image_encoding(U8, 1), Some(Encoding::Jpeg));
    assert_eq!(clean(r#"{"view":"points"}"#), StreamMeta::new().role(Role::Points));
    assert_eq!(clean(r#"{"view":"values"}"#).view, Some(View::Values));
    assert_eq!(clean(r#"{"view":"none"}"#).view, Some(View::Nothing));
    // An ordered cloud keeps its role.
    let cloud = clean(r#"{"role":"points","width":4,"height":2}"#);
    assert_eq!((cloud.role, cloud.shape), (Some(Role::Points), Some(vec![2, 4])));
    // Both ways of saying the same, and not the same.
    assert_eq!(clean(r#"{"width":4,"height":2,"shape":[2,4]}"#).image_size(), Some((2, 4)));
    let (meta, problems) = parse(r#"{"width":4,"height":2,"shape":[2,5],"step":8,"row_step":9}"#);
    assert_eq!((meta.shape, meta.row_step), (Some(vec![2, 5]), Some(9)));
    let says = |old, new| format!("{old} says something else than `{new}`, which counts");
    assert_eq!(problems, [says("`width` and `height`", "shape"), says("`step`", "row_step")]);
}

#[test]
fn common_words_of_applications_are_left_alone() {
    for text in [r#"{"step":0.1}"#, r#"{"width":0.5}"#, r#"{"height":"tall","step":-1}"#] {
        assert!(clean(text).is_empty(), "{text}");
    }
}

#[test]
fn application_data_is_no_problem() {
    let deep = "[".repeat(1000);
    for extra in
        [&b""[..], b" ", b"\0\0", b"[1,2]", b"text", b"\xff\xfe", b"{\x01\x02", b"{ 1 }", b"{{", deep.as_bytes()]
    {
        assert_eq!(StreamMeta::parse(extra), (StreamMeta::new(), vec![]), "{extra:?}");
    }
}

#[test]
fn what_looks_like_an_object_and_is_none_is_reported() {
    for extra in [&b"{"[..], b"{\"a\":", b"{'a': 1}", b"{a: 1}", b"{\"a\":1} x", b"{\"a\":\"\xff\"}", b"{\"a\":1,}"] {
        let (meta, problems) = StreamMeta::parse(extra);
        assert!(meta.is_empty() && matches!(&problems[..], [MetaProblem::Broken { .. }]), "{extra:?}: {problems:?}");
    }
    let (_, problems) = parse("{\"unit\":");
    assert_eq!(
        problems,
        ["extra begins like a JSON object, but is none: EOF while parsing a value at line 1 column 8"]
    );
    // A C string's end and a byte order mark are neither.
    assert_eq!(clean("\u{feff}{\"unit\":\"m\"}\n\0\0").unit.as_deref(), Some("m"));
}

#[test]
fn a_wrong_key_does_not_spoil_the_others() {
    let (meta, problems) = parse(
        r#"{"shape":"big","encoding":7,"row_step":0,"unit":"m","frame":["a"],"role":{},"clock":1.5,"view":false}"#,
    );
    assert_eq!(meta, StreamMeta::new().unit("m"));
    assert_eq!(problems.len(), 7);
    assert!(problems.contains(&"`encoding` is 7, but must be a string; the key is ignored".to_owned()), "{problems:?}");
    for shape in ["[1,-1]", "[1.5]", "[4294967296]", "[1,1,1,1,1,1,1,1,1]", "[[1]]", "3"] {
        let (meta, problems) = parse(&format!(r#"{{"shape":{shape}}}"#));
        let expected = "but must be a list of at most 8 whole numbers; the key is ignored";
        assert_eq!((meta.shape, problems), (None, vec![format!("`shape` is {shape}, {expected}")]));
    }
    let (meta, problems) = parse(r#"{"width":0,"height":4294967295,"step":-1,"encoding":"p010"}"#);
    assert_eq!((meta.shape, meta.encoding), (None, Some(Encoding::Other("p010".into()))));
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn hostile_lengths_and_depths_are_bounded() {
    let long = format!(r#"{{"unit":"{}"}}"#, "m".repeat(MAX_EXTRA));
    let (meta, problems) = parse(&long);
    assert!(meta.is_empty());
    assert_eq!(problems, [format!("extra has {} bytes, of which none were read: at most 65536 are", long.len())]);
    assert_eq!(StreamMeta::parse(&vec![7; MAX_EXTRA + 1]).1, []);
    let most = format!(r#"{{"unit":"{}"}}"#, "m".repeat(MAX_EXTRA - 11));
    assert_eq!((most.len(), clean(&most).unit.unwrap().len()), (MAX_EXTRA, MAX_EXTRA - 11));
    let half = MAX_EXTRA / 2 - 20;
    let nest = |key: &str| format!(r#"{{"{key}":{}{}}}"#, "[".repeat(half), "]".repeat(half));
    assert!(clean(&nest("own")).is_empty());
    for key in ["shape", "unit", "row_step"] {
        assert_eq!(parse(&nest(key)).1.len(), 1);
    }
    // A problem's text is short and harmless.
    let (_, problems) = parse(&format!("{{\"encoding\":\"\\u001b[2J{}\"}}", "x".repeat(5000)));
    assert!(problems[0].len() < 300 && problems[0].starts_with("encoding `\\u{1b}[2Jxxx"), "{problems:?}");
}

#[test]
fn foreign_keys_survive_an_edit() {
    let old = r#"{"z":1.0000000000000000000001,"unit":"mm","a":{"y":1,"x":[2]},"step":0.5,"width":3}"#;
    let (meta, _) = parse(old);
    let new = meta.unit("m").merge_into(old.as_bytes()).unwrap();
    let expected = r#"{"unit":"m","a":{"y":1,"x":[2]},"step":0.5,"width":3,"z":1.0000000000000000000001}"#;
    assert_eq!(String::from_utf8(new).unwrap(), expected);
    let new =
        StreamMeta::image(2, 4, "rgb8").merge_into(br#"{"width":1,"height":1,"step":9,"view":"values","k":null}"#);
    assert_eq!(new.unwrap(), br#"{"role":"image","shape":[2,4],"encoding":"rgb8","k":null}"#);
    assert_eq!(StreamMeta::new().unit("m").merge_into(b"\0").unwrap(), br#"{"unit":"m"}"#);
    assert_eq!(StreamMeta::new().merge_into(b"[1]"), Err(MetaProblem::NotAnObject));
    assert!(matches!(StreamMeta::new().merge_into(b"{'"), Err(MetaProblem::Broken { .. })));
}

#[test]
fn encodings_know_their_sizes() {
    for e in Encoding::ALL {
        assert_eq!(Encoding::from(e.name()), *e);
        assert_eq!(Encoding::from(e.name().to_uppercase()), *e);
        assert!(e.is_known() && e.element_type().is_some() && e.components().is_some());
    }
    let row = |name: &str, w| Encoding::from(name).row_bytes(w);
    assert_eq!([row("bgra16", 10), row("32FC1", 10), row("uyvy", 10)], [Some(80), Some(40), Some(20)]);
    assert_eq!([row("bayer_rggb8", 10), row("nv12", 10), row("png", 10)], [Some(10), Some(10), None]);
    assert_eq!(row("64FC4", u32::MAX), Some(32 * u64::from(u32::MAX)));
    assert_eq!(Encoding::from("yuv422"), Encoding::Uyvy);
    for (ty, components) in [(U8, 1), (U8, 3), (U8, 4), (U16, 1), (F32, 1)] {
        let e = Encoding::implied(ty, components).unwrap();
        assert_eq!((e.element_type(), e.components()), (Some(ty), Some(components)));
    }
    assert_eq!(Encoding::implied(U8, 2), None);
}

#[test]
fn images_are_compared_with_their_streams() {
    let none: [&str; 0] = [];
    let rgb = StreamMeta::image(480, 640, "rgb8");
    assert_eq!(check(&rgb, U8, 3, Some(307_200)), none);
    assert_eq!(check(&rgb, U8, 1, Some(921_600)), none);
    assert_eq!(rgb.elements(U8, 3), Some(307_200));
    assert_eq!(rgb.elements(U8, 1), Some(921_600));
    assert_eq!(check(&rgb, U8, 3, Some(307_199)), ["a frame has 307199 elements, but `shape` says 307200"]);
    assert_eq!(check(&rgb, F32, 3, None), ["encoding `rgb8` needs elements of u8x3, but the stream has f32x3"]);
    assert_eq!(check(&rgb, U8, 4, None).len(), 1);
    assert_eq!(
        check(&rgb.clone().row_step(1000), U8, 3, None),
        ["`row_step` is 1000 bytes, but the pixels of a row have 1920"]
    );
    let padded = rgb.clone().row_step(2048);
    assert_eq!(check(&padded, U8, 1, Some(480 * 2048)), none);
    assert_eq!(
        check(&StreamMeta::image(2, 3, "rgb8").row_step(10), U8, 3, None),
        ["an image has 20 bytes, which are no whole elements of 3 bytes; use single bytes"]
    );
    // Single bytes carry any format; [height, width, components] is what arrays of theirs have.
    assert_eq!(check(&StreamMeta::image(2, 3, "mono16"), U8, 2, Some(6)), none);
    assert_eq!(check(&rgb.clone().shape([480, 640, 3]), U8, 1, Some(921_600)), none);
    assert_eq!(
        check(&rgb.clone().shape([480, 640, 3]), U8, 3, None),
        ["`shape` is [480, 640, 3], but must be [height, width] for an image"]
    );
    assert_eq!(
        check(&StreamMeta::new().encoding("rgb8"), U8, 3, None),
        ["an image needs a `shape` of [height, width]"]
    );
    assert_eq!(check(&StreamMeta::new().encoding("jpeg"), U8, 1, Some(5)), none);
    assert_eq!(
        check(&StreamMeta::new().role(Role::Image).shape([2, 2]), F64, 1, None),
        ["an image of f64 needs an `encoding`, since its elements do not imply one"]
    );
    let nv12 = StreamMeta::image(4, 6, "nv12");
    assert_eq!((nv12.elements(U8, 1), check(&nv12, U8, 1, Some(36))), (Some(36), vec![]));
    assert_eq!(StreamMeta::image(4, 6, "nv24").elements(U8, 1), Some(72));
    assert_eq!(
        check(&StreamMeta::image(3, 5, "nv12"), U8, 1, None),
        ["width is 5, but encoding `nv12` needs an even one", "height is 3, but encoding `nv12` needs an even one",]
    );
    // A line camera: any number of rows.
    let lines = StreamMeta::image(0, 4, "mono8");
    assert_eq!((lines.image_size(), check(&lines, U8, 1, Some(12))), (None, vec![]));
    assert_eq!(check(&lines, U8, 1, Some(13)), ["a frame has 13 elements, but `shape` says a multiple of 4"]);
    let unknown = StreamMeta::image(2, 4, "p010").row_step(8);
    assert_eq!(check(&unknown, U8, 1, Some(16)), none);
    assert_eq!(check(&StreamMeta::image(u32::MAX, u32::MAX, "64FC4"), F64, 4, Some(1)).len(), 1);
    assert_eq!(check(&rgb, U8, 0, Some(1)).len(), 1);
}

#[test]
fn other_roles_and_shapes_are_compared_too() {
    let grid = StreamMeta::new().shape([3, 0, 5]);
    assert_eq!((grid.elements(F32, 1), check(&grid, F32, 1, Some(45))), (None, vec![]));
    assert_eq!(check(&grid, F32, 1, Some(44)), ["a frame has 44 elements, but `shape` says a multiple of 15"]);
    assert_eq!(StreamMeta::new().shape([3, 5]).elements(F32, 1), Some(15));
    assert_eq!(StreamMeta::new().shape([]).elements(F32, 1), Some(1));
    assert_eq!(check(&StreamMeta::new().shape([u32::MAX; 8]), F32, 1, Some(7)).len(), 1);
    assert_eq!(StreamMeta::new().shape([u32::MAX; 8]).elements(F32, 1), None);
    assert_eq!(
        check(&StreamMeta::points(), U8, 3, None),
        ["role `points` needs f32 or f64 of 2 or more components, but the stream has u8x3"]
    );
    assert_eq!(check(&StreamMeta::new().role(Role::Pose), F64, 7, None).len(), 0);
    assert_eq!(check(&StreamMeta::new().role(Role::Pose), F64, 6, None).len(), 1);
    assert_eq!(check(&StreamMeta::acquisition(Clock::Tai), U64, 1, None).len(), 0);
    assert_eq!(check(&StreamMeta::acquisition(Clock::Tai), U64, 2, None).len(), 1);
    assert_eq!(check(&StreamMeta::new().role(Role::Other("own".into())), U8, 9, Some(3)).len(), 0);
}

#[test]
fn the_moment_of_acquisition_is_found() {
    let (none, time) = (StreamMeta::new(), StreamMeta::acquisition(Clock::Realtime));
    let find = |streams: &[(&str, ElementType, u32, &StreamMeta)]| {
        let found = Acquisition::find(streams.iter().map(|&(n, t, c, m)| (n, Some(t), c, m)));
        found.map(|a| (a.index, a.comparable()))
    };
    assert_eq!(find(&[("a", F32, 1, &none), ("t", U64, 1, &time)]), Some((1, Comparable::SystemClock)));
    assert_eq!(find(&[("t", U64, 1, &time), (ACQUISITION_NAME, U64, 1, &none)]), Some((0, Comparable::SystemClock)));
    assert_eq!(find(&[("t", U64, 1, &time), (ACQUISITION_NAME, U64, 1, &time)]).unwrap().0, 1);
    assert_eq!(find(&[(ACQUISITION_NAME, U64, 1, &none)]), Some((0, Comparable::Itself)));
    assert_eq!(find(&[("t", U64, 1, &none), ("u", U64, 1, &time.clone().unit("us")), ("v", U64, 2, &time)]), None);
    assert_eq!(find(&[(ACQUISITION_NAME, U64, 1, &none.clone().role(Role::Points))]), None);
    let at = |clock: Clock| Acquisition { index: 0, clock: Some(clock) };
    assert_eq!(at(Clock::Monotonic).latency(5, 9, 100), Some(4));
    assert_eq!(at(Clock::Realtime).latency(105, 9, 100), Some(-5));
    assert_eq!(at(Clock::Tai).latency(5, 9, 100), None);
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(any::<String>().prop_filter("not empty", |s| !s.is_empty()))
}

fn meta() -> impl Strategy<Value = StreamMeta> {
    let role = prop::option::of(prop_oneof![
        prop::sample::select(vec!["image", "points", "pose", "time"]).prop_map(Role::from),
        "x[\\PC\n\"]{0,9}".prop_map(|s: String| Role::from(s.as_str())),
    ]);
    let encoding = prop::option::of(prop_oneof![
        prop::sample::select(Encoding::ALL).prop_map(|e: Encoding| e),
        "x-.{0,9}".prop_map(Encoding::from),
    ]);
    let clock = prop::option::of(prop::sample::select(vec!["monotonic", "realtime", "tai", "gps"]));
    let view = prop::option::of(prop::sample::select(vec!["values", "none", "graph"]));
    let shape = prop::option::of(prop::collection::vec(any::<u32>(), 0..=MAX_DIMENSIONS));
    let frames = (text(), text());
    (role, shape, encoding, prop::option::of(1..u32::MAX), text(), frames, clock, view).prop_map(
        |(role, shape, encoding, row_step, unit, (frame, child), clock, view)| StreamMeta {
            role,
            shape,
            encoding,
            row_step,
            unit,
            frame,
            child,
            clock: clock.map(Clock::from),
            view: view.map(View::from),
        },
    )
}

fn any_object() -> impl Strategy<Value = Vec<u8>> {
    let key =
        prop::sample::select(vec!["role", "shape", "encoding", "width", "height", "step", "row_step", "view", "own"]);
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (0..5_u32).prop_map(|n| n.to_string()),
        prop::sample::select(vec![
            "\"image\"",
            "\"rgb8\"",
            "\"points\"",
            "\"nv12\"",
            "null",
            "[2,3]",
            "[0,4]",
            "{}",
            "1e999"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec((key, value), 0..9).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    })
}

fn use_all(extra: &[u8], ty: ElementType, components: u32, elements: Option<u64>) {
    let (meta, problems) = StreamMeta::parse(extra);
    let more = meta.check(ty, components, elements);
    assert!(problems.iter().chain(&more).all(|p| !p.to_string().is_empty()));
    let (_, _, _) = (meta.image_size(), meta.image_encoding(ty, components), meta.elements(ty, components));
    if let Ok(merged) = meta.merge_into(extra) {
        assert_eq!(StreamMeta::parse(&merged).0, meta);
    }
    if more.is_empty()
        && let Some(n) = meta.elements(ty, components)
    {
        assert_eq!(meta.check(ty, components, Some(n)), []);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_harmless(
        extra in prop::collection::vec(any::<u8>(), 0..200),
        object in any_object(),
        ty in prop::sample::select(ElementType::ALL.to_vec()),
        components in 0..9_u32,
        elements in prop::option::of(any::<u64>()),
    ) {
        use_all(&extra, ty, components, elements);
        use_all(&[b"{\"", &extra[..]].concat(), ty, components, elements);
        use_all(&object, ty, components, elements);
    }

    #[test]
    fn what_is_written_is_read(meta in meta(), others in any_object()) {
        let (read, problems) = StreamMeta::parse(&meta.to_extra());
        prop_assert_eq!(&read, &meta);
        let expected = problems.iter().all(|p| matches!(p, MetaProblem::UnknownEncoding { .. }));
        prop_assert!(expected, "{:?}", problems);
        prop_assert_eq!(read.to_extra(), meta.to_extra());
        let merged = meta.merge_into(&others).unwrap();
        let again = meta.merge_into(&merged).unwrap();
        prop_assert_eq!(merged, again);
    }
}
