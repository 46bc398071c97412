//! Bytes as hexadecimal digits.

/// Two lower-case digits for each byte.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// The bytes of pairs of digits; none if it is anything else.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |c: u8| char::from(c).to_digit(16);
    let byte = |&[a, b]: &[u8; 2]| Some((digit(a)? << 4 | digit(b)?) as u8);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    #[test]
    fn pairs_of_digits_are_bytes_and_nothing_else_is() {
        assert_eq!(super::encode(&[0, 0xa5, 0xff]), "00a5ff");
        assert_eq!(super::decode("00A5ff"), Some(vec![0, 0xa5, 0xff]));
        for not in ["0", "0g", "0x", " 00", "é", "+1"] {
            assert_eq!(super::decode(not), None, "{not}");
        }
    }
}
