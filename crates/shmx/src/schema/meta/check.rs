//! Comparing what `extra` says of a stream with the stream itself.

use super::{Encoding, MetaProblem, Role, StreamMeta};
use shmx_abi::ElementType;

impl StreamMeta {
    /// Elements of a frame, if shape and encoding fix their number.
    #[must_use]
    pub fn elements(&self, element_type: ElementType, components: u32) -> Option<u64> {
        if self.is_image() {
            let encoding = self.image_encoding(element_type, components)?;
            let ((height, width), element) = (self.image_size()?, element_bytes(element_type, components)?);
            let bytes = image_bytes(&encoding, height, width, self.row_step).filter(|&b| b < u64::MAX)?;
            return bytes.is_multiple_of(element).then_some(bytes / element);
        }
        let shape = self.shape.as_deref()?;
        shape.iter().try_fold(1_u64, |n, &d| n.checked_mul(u64::from(d))).filter(|_| !shape.contains(&0))
    }

    /// Compares the metadata with the stream: its element type and components, and if known the elements of a frame.
    #[must_use]
    pub fn check(&self, element_type: ElementType, components: u32, elements: Option<u64>) -> Vec<MetaProblem> {
        let mut problems = Vec::new();
        if let Some((role, expected)) = self.role.as_ref().and_then(|r| role_element(r, element_type, components)) {
            problems.push(MetaProblem::RoleElement { role, expected, found: (element_type, components) });
        }
        if self.is_image() {
            self.check_image(element_type, components, elements, &mut problems);
        } else if let (Some(shape), Some(found)) = (&self.shape, elements) {
            let multiple = shape.contains(&0);
            let expected = shape.iter().filter(|&&d| d > 0).fold(1_u64, |n, &d| n.saturating_mul(u64::from(d)));
            push_elements(expected, multiple, found, &mut problems);
        }
        problems
    }

    fn check_image(&self, ty: ElementType, components: u32, elements: Option<u64>, problems: &mut Vec<MetaProblem>) {
        let Some(encoding) = self.image_encoding(ty, components) else {
            problems.push(MetaProblem::NoEncoding { element_type: ty, components });
            return;
        };
        let name = || encoding.name().to_owned();
        if let (Some(of_type), Some(of)) = (encoding.element_type(), encoding.components()) {
            // Single components and single bytes carry any pixel, and rows of any length.
            let pixels = ty == of_type && (components == of || components == 1);
            let bytes = ty == ElementType::U8
                && (components == 1 || encoding.bytes_per_pixel().is_some_and(|b| components == b));
            if !pixels && !bytes {
                let (expected, found) = ((of_type, of), (ty, components));
                problems.push(MetaProblem::EncodingElement { encoding: name(), expected, found });
                return;
            }
        }
        if encoding.is_compressed() {
            return;
        }
        let (height, width) = match self.shape.as_deref() {
            Some(&[h, w]) => (h, w),
            Some(&[h, w, c]) if components == 1 && encoding.components().is_none_or(|of| c == of) => (h, w),
            found => {
                problems.push(MetaProblem::ImageShape { found: found.map(<[u32]>::to_vec) });
                return;
            }
        };
        let (across, down) = encoding.multiples();
        for (side, found, of) in [("width", width, across), ("height", height, down)] {
            if !found.is_multiple_of(of) {
                problems.push(MetaProblem::ImageSize { encoding: name(), side, found });
            }
        }
        if let (Some(found), Some(least)) = (self.row_step, encoding.row_bytes(width))
            && u64::from(found) < least
        {
            problems.push(MetaProblem::RowStep { found, least });
            return;
        }
        let Some(element) = element_bytes(ty, components) else { return };
        // An open height leaves whole rows; an open width leaves nothing to compare.
        let Some(bytes) = image_bytes(&encoding, height.max(down), width, self.row_step).filter(|&b| b > 0) else {
            return;
        };
        if height > 0 && !bytes.is_multiple_of(element) {
            problems.push(MetaProblem::PartialElement { bytes, element });
        } else if let Some(found) = elements
            && bytes.is_multiple_of(element)
        {
            push_elements(bytes / element, height == 0, found, problems);
        }
    }
}

/// The role's name and what it needs, if the stream has something else.
fn role_element(role: &Role, ty: ElementType, components: u32) -> Option<(&'static str, &'static str)> {
    use ElementType::{F32, F64, I64, U64};
    let float = matches!(ty, F32 | F64);
    match role {
        Role::Points => (!float || components < 2).then_some(("points", "f32 or f64 of 2 or more components")),
        Role::Pose => (!float || components != 7).then_some(("pose", "f32 or f64 of 7 components")),
        Role::Time => (!matches!(ty, I64 | U64 | F64) || components != 1).then_some(("time", "single u64, i64 or f64")),
        Role::Image | Role::Other(_) => None,
    }
}

fn push_elements(expected: u64, multiple: bool, found: u64, problems: &mut Vec<MetaProblem>) {
    if if multiple { !found.is_multiple_of(expected) } else { found != expected } {
        problems.push(MetaProblem::Elements { expected, multiple, found });
    }
}

fn element_bytes(element_type: ElementType, components: u32) -> Option<u64> {
    Some(u64::from(element_type.size()) * u64::from(components)).filter(|&n| n > 0)
}

/// Bytes of an image; the largest number stands for any that is larger.
fn image_bytes(encoding: &Encoding, height: u32, width: u32, row_step: Option<u32>) -> Option<u64> {
    let row = row_step.map(u64::from).or_else(|| encoding.row_bytes(width))?;
    if encoding.is_compressed() { None } else { Some(row.saturating_mul(encoding.rows(height))) }
}
