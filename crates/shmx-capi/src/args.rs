//! What C passes: strings, bytes, structs with their size. The one place that follows pointers of the caller.
//!
//! Each type is a pointer that only a caller from C can make, and the header says what such a caller promises: that the
//! pointer is null or leads to what its type says, for as long as the call takes. That promise is what each block here
//! rests on. Functions that take these types are safe for Rust, which cannot make one.
//!
//! Length: every way in which C hands something over, beside the proofs that they share.

use crate::status::{Fault, shmx_status};
use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::slice;

/// A place for a result.
///
/// A pointer and no reference: two of a call's places may be the same variable, or a field of what the call reads.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Debug)]
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Looks for null before anything is done.
    #[inline]
    pub(crate) fn need(&self, argument: &'static str) -> Result<(), Fault> {
        if self.0.is_null() { Err(Fault::null(argument)) } else { Ok(()) }
    }

    /// Writes the result; nothing for null.
    #[inline]
    fn write(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: the caller's promise for places: not null here, and a variable of that type.
            unsafe { self.0.write(value) };
        }
    }
}

/// A string that ends in a zero byte.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Text(*const c_char);

impl Text {
    /// The bytes without the zero; none for null.
    #[inline]
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: the caller's promise for strings: not null here, it ends in a zero byte and stays for the call.
        Some(unsafe { CStr::from_ptr(self.0) }.to_bytes())
    }

    pub(crate) fn get(&self, argument: &'static str) -> Result<&str, Fault> {
        let bytes = self.bytes().ok_or_else(|| Fault::null(argument))?;
        std::str::from_utf8(bytes).map_err(|_| Fault::bad(argument, "is not UTF-8", "pass UTF-8 text"))
    }
}

/// Bytes, whose number is told beside them.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes(*const c_void);

impl Bytes {
    /// What the library hands out: valid as long as the function says.
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self(bytes.as_ptr().cast())
    }

    /// As many bytes; null will do where there are none.
    #[inline]
    pub(crate) fn get(&self, len: usize, argument: &'static str) -> Result<&[u8], Fault> {
        if len == 0 {
            return Ok(&[]);
        }
        if self.0.is_null() {
            return Err(Fault::null(argument));
        }
        if isize::try_from(len).is_err() {
            return Err(Fault::bad(argument, "has more bytes than there can be", "pass its real length"));
        }
        // SAFETY: the caller's promise for bytes: not null here, that many, and nobody changes them during the call.
        Ok(unsafe { slice::from_raw_parts(self.0.cast::<u8>(), len) })
    }
}

/// A place for bytes, whose number is told beside it.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Debug)]
pub struct Room(*mut c_void);

impl Room {
    pub(crate) fn get(&mut self, len: usize, argument: &'static str) -> Result<&mut [u8], Fault> {
        if len == 0 {
            return Ok(&mut []);
        }
        if self.0.is_null() {
            return Err(Fault::null(argument));
        }
        if isize::try_from(len).is_err() {
            return Err(Fault::bad(argument, "has more bytes than there can be", "pass its real length"));
        }
        // The bytes may be anything: they become some value before they are seen as bytes.
        // SAFETY: the caller's promise for bytes: not null here, and that many are writable.
        unsafe { self.0.cast::<u8>().write_bytes(0, len) };
        // SAFETY: as above, and they were written just now.
        Ok(unsafe { slice::from_raw_parts_mut(self.0.cast::<u8>(), len) })
    }
}

/// A struct of integers, floats and pointers that begins with its size as the caller knows it.
///
/// # Safety
///
/// `repr(C)`, begins with a `usize`, and all bytes zero are a value.
pub unsafe trait Versioned: Copy {
    /// Size of the first version.
    const FIRST: usize;
}

/// No struct of any version is larger, so that a size that was never set is found out and not believed.
const LARGEST: usize = 1024;

#[inline]
fn check_size<T: Versioned>(size: usize, argument: &'static str) -> Result<(), Fault> {
    const { assert!(size_of::<T>() <= LARGEST) };
    // One comparison: what is below the first version wraps.
    if size.wrapping_sub(T::FIRST) <= LARGEST - T::FIRST { Ok(()) } else { Err(bad_size(size, T::FIRST, argument)) }
}

#[cold]
fn bad_size(size: usize, first: usize, argument: &'static str) -> Fault {
    let text = format!(
        "`{argument}` says that it has {size} bytes, and versions have {first} to {LARGEST}; set `size` to its sizeof"
    );
    Fault::new(shmx_status::BadSize, text)
}

/// A struct with its size, to be read.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct In<T>(*const T);

impl<T: Versioned> In<T> {
    /// The struct, with zero in fields that the caller does not know; none for null.
    pub(crate) fn read(self, argument: &'static str) -> Result<Option<T>, Fault> {
        if self.0.is_null() { Ok(None) } else { self.value(argument).map(Some) }
    }

    /// What the first version of the struct begins with, where it lies. `P` is a part of it.
    #[inline]
    pub(crate) fn first<P: Versioned>(&self, argument: &'static str) -> Result<&P, Fault> {
        const { assert!(P::FIRST <= T::FIRST) };
        if self.0.is_null() {
            return Err(Fault::null(argument));
        }
        self.size(argument)?;
        // SAFETY: not null and aligned as `T`, which begins with `P` (the caller of this); it has at least `T::FIRST`
        // bytes by the caller's promise, and nobody changes them during the call.
        Ok(unsafe { &*self.0.cast::<P>() })
    }

    /// The size that the struct gives itself; the caller looked for null.
    fn size(self, argument: &'static str) -> Result<usize, Fault> {
        if !self.0.is_aligned() {
            return Err(Fault::bad(argument, "is not aligned", "pass the address of a variable of its type"));
        }
        // SAFETY: the caller's promise: not null (looked for before), aligned, and it begins with its size.
        let size = unsafe { self.0.cast::<usize>().read() };
        check_size::<T>(size, argument)?;
        Ok(size)
    }

    /// The struct; the caller looked for null.
    fn value(self, argument: &'static str) -> Result<T, Fault> {
        let size = self.size(argument)?;
        let mut value = MaybeUninit::<T>::zeroed();
        let known = size.min(size_of::<T>());
        let (from, to) = (self.0.cast::<u8>(), value.as_mut_ptr().cast::<u8>());
        // SAFETY: the struct has `size` bytes by the caller's promise, `value` has as many as `known` at least.
        unsafe { to.copy_from_nonoverlapping(from, known) };
        let rest = from.wrapping_add(known);
        // SAFETY: as above: up to `size`.
        let more = unsafe { slice::from_raw_parts(rest, size - known) };
        if more.iter().any(|&b| b != 0) {
            let text = format!("`{argument}` sets fields that this library does not know; use a newer library");
            return Err(Fault::new(shmx_status::BadSize, text));
        }
        // SAFETY: zero bytes are a value, and so is what the caller wrote (`Versioned`).
        Ok(unsafe { value.assume_init() })
    }

    /// An array of them, each as large as the first one says.
    pub(crate) fn array(self, count: usize, argument: &'static str) -> Result<Vec<T>, Fault> {
        if count == 0 {
            return Ok(Vec::new());
        }
        if self.0.is_null() {
            return Err(Fault::null(argument));
        }
        let size = self.size(argument)?;
        if size.checked_mul(count).is_none_or(|bytes| isize::try_from(bytes).is_err()) {
            return Err(Fault::bad(argument, "has more elements than there can be", "pass their real number"));
        }
        let element = |i: usize| {
            let element = Self(self.0.wrapping_byte_add(i * size));
            if element.size(argument)? != size {
                let text = format!("`{argument}` has elements of several sizes; give each the sizeof of its type");
                return Err(Fault::new(shmx_status::BadSize, text));
            }
            element.value(argument)
        };
        (0..count).map(element).collect()
    }
}

/// A plain array of fixed structs.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Array<T>(*const T);

impl<T: Copy> Array<T> {
    #[inline]
    pub(crate) fn get(&self, count: usize, argument: &'static str) -> Result<&[T], Fault> {
        if count == 0 {
            return Ok(&[]);
        }
        if self.0.is_null() {
            return Err(Fault::null(argument));
        }
        let fits = count.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok());
        if !fits || !self.0.is_aligned() {
            return Err(Fault::bad(argument, "is no array of that many", "pass an array and its real length"));
        }
        // SAFETY: the caller's promise: not null here, aligned, that many; nobody changes them during the call.
        Ok(unsafe { slice::from_raw_parts(self.0, count) })
    }
}

/// A struct with its size, to be filled.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Fill<T>(*mut T);

impl<T: Versioned> Fill<T> {
    /// Looks at it before anything is done: what is wrong with it shall cost nothing.
    #[inline]
    pub(crate) fn check(self, argument: &'static str) -> Result<Place<T>, Fault> {
        if self.0.is_null() {
            return Err(Fault::null(argument));
        }
        let size = In(self.0.cast_const()).size(argument)?;
        Ok(Place { to: self.0, size })
    }
}

impl<T: Versioned> Fill<T> {
    /// None for null.
    pub(crate) fn check_if_wanted(self, argument: &'static str) -> Result<Option<Place<T>>, Fault> {
        if self.0.is_null() { Ok(None) } else { self.check(argument).map(Some) }
    }
}

/// Where a result goes that the caller has room for.
#[derive(Debug)]
pub(crate) struct Place<T> {
    to: *mut T,
    size: usize,
}

impl<T: Versioned> Place<T> {
    /// Writes what the caller knows of `value`, whose size becomes the caller's. Fields that only the caller knows
    /// become zero.
    #[inline]
    pub(crate) fn fill(self, value: T) {
        if self.size == size_of::<T>() {
            // SAFETY: aligned, and by the caller's promise as large as it says.
            unsafe { self.to.write(value) };
            return;
        }
        self.fill_part(&value);
    }

    /// The struct itself, where the caller knows all of it, to be written field by field.
    #[inline]
    pub(crate) fn whole(&self) -> Option<Fields<T>> {
        (self.size == size_of::<T>()).then_some(Fields(self.to))
    }

    #[cold]
    fn fill_part(self, value: &T) {
        let known = self.size.min(size_of::<T>());
        let (from, to) = ((&raw const *value).cast::<u8>(), self.to.cast::<u8>());
        // SAFETY: the caller's struct has `size` bytes, `value` has as many as `known` at least.
        unsafe { to.copy_from_nonoverlapping(from, known) };
        let rest = to.wrapping_add(known);
        // SAFETY: as above: up to `size`.
        unsafe { rest.write_bytes(0, self.size - known) };
        // SAFETY: it begins with its size.
        unsafe { self.to.cast::<usize>().write(self.size) };
    }
}

/// A struct of the caller's that is as large as the library's.
#[derive(Debug)]
pub(crate) struct Fields<T>(*mut T);

impl<T: Versioned> Fields<T> {
    /// Writes the field at this offset, and by itself: what the caller reads at once it reads field by field, and a load
    /// waits where it takes other pieces than were stored. (The compiler would gather fields on its stack, or pair them.)
    #[inline(always)]
    pub(crate) fn put<F>(&self, offset: usize, value: F) {
        assert!(offset + size_of::<F>() <= size_of::<T>() && offset.is_multiple_of(align_of::<F>()));
        let to = self.0.wrapping_byte_add(offset).cast::<F>();
        // SAFETY: within the struct, which by the caller's promise is there and aligned, and so is a field of it.
        unsafe { to.write_volatile(value) };
    }
}

/// An array of structs, to be filled; the caller says how large an element is for it.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct FillArray<T>(*mut T);

impl<T: Versioned> FillArray<T> {
    /// Writes as many as there is room for.
    pub(crate) fn fill(
        self,
        values: &[T],
        element_size: usize,
        capacity: usize,
        argument: &'static str,
    ) -> Result<(), Fault> {
        let count = capacity.min(values.len());
        if count == 0 {
            return Ok(());
        }
        if self.0.is_null() {
            return Err(Fault::null(argument));
        }
        check_size::<T>(element_size, argument)?;
        let even = element_size.is_multiple_of(align_of::<T>());
        if !self.0.is_aligned() || !even || element_size.checked_mul(count).is_none() {
            return Err(Fault::bad(argument, "is no array of such elements", "pass the sizeof of its type"));
        }
        for (i, value) in values.iter().take(count).enumerate() {
            Place { to: self.0.wrapping_byte_add(i * element_size), size: element_size }.fill(*value);
        }
        Ok(())
    }
}

/// A plain array to be filled, whose length is told beside it.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Debug)]
pub struct Places<T>(*mut T);

impl<T> Places<T> {
    /// Looks at it before anything is done; null will do where there is no room.
    pub(crate) fn room(self, capacity: usize, argument: &'static str) -> Result<Filling<T>, Fault> {
        if capacity > 0 && self.0.is_null() {
            return Err(Fault::null(argument));
        }
        let fits = capacity.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok());
        if !fits || !self.0.is_aligned() {
            return Err(Fault::bad(argument, "is no array of that many", "pass an array and its real length"));
        }
        Ok(Filling { to: self.0, capacity })
    }
}

/// An array that has room.
#[derive(Debug)]
pub(crate) struct Filling<T> {
    to: *mut T,
    capacity: usize,
}

impl<T> Filling<T> {
    /// Writes as many as there is room for.
    pub(crate) fn fill(self, values: impl Iterator<Item = T>) {
        for (i, value) in values.take(self.capacity).enumerate() {
            // SAFETY: the caller's promise for arrays: aligned, and it has `capacity` elements.
            unsafe { self.to.wrapping_add(i).write(value) };
        }
    }
}

/// Writes a result.
#[inline]
pub(crate) fn put<T>(out: Out<T>, argument: &'static str, value: T) -> Result<(), Fault> {
    out.need(argument)?;
    out.write(value);
    Ok(())
}

/// A result that the caller may not want.
#[inline]
pub(crate) fn put_if_wanted<T>(out: Out<T>, value: T) {
    out.write(value);
}

/// A handle that is handed out, once the place for it is known.
#[inline]
pub(crate) fn hand_out<T>(out: Out<*mut T>, handle: T) {
    // Where nobody wants it, it ends here.
    if !out.0.is_null() {
        out.write(Box::into_raw(Box::new(handle)));
    }
}

/// Takes a handle back, and leaves null behind.
///
/// cbindgen:transparent-typedef
#[repr(transparent)]
#[derive(Debug)]
pub struct Give<T>(*mut *mut T);

impl<T> Give<T> {
    /// None where there is no handle: freed before, say.
    #[inline]
    pub(crate) fn take(self) -> Option<Box<T>> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: the caller's promise: it leads to a variable that holds a handle or null.
        let handle = unsafe { self.0.replace(std::ptr::null_mut()) };
        if handle.is_null() {
            return None;
        }
        // SAFETY: handles come from `hand_out`, and the caller gives each back once.
        Some(unsafe { Box::from_raw(handle) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Now {
        size: usize,
        a: u64,
        b: u64,
    }

    // SAFETY: `repr(C)`, a `usize` first, integers only.
    unsafe impl Versioned for Now {
        const FIRST: usize = 16;
    }

    #[repr(C)]
    struct Later {
        now: Now,
        c: u64,
    }

    #[test]
    fn structs_of_other_versions_are_read_and_filled() {
        let old = [16_usize, 5];
        let read = In::<Now>(old.as_ptr().cast()).read("x").unwrap().unwrap();
        assert_eq!((read.a, read.b), (5, 0));
        let mut later = Later { now: Now { size: size_of::<Later>(), a: 1, b: 2 }, c: 0 };
        assert!(In::<Now>((&raw const later).cast()).read("x").is_ok(), "a field that is not set is none");
        later.c = 3;
        let status = In::<Now>((&raw const later).cast()).read("x").unwrap_err().status();
        assert_eq!(status, shmx_status::BadSize);
        let mut old = [16_usize, 0, 99];
        Fill::<Now>(old.as_mut_ptr().cast()).check("x").unwrap().fill(Now { size: 24, a: 7, b: 8 });
        assert_eq!(old, [16, 7, 99], "no byte past its size is touched");
        Fill::<Now>((&raw mut later).cast()).check("x").unwrap().fill(Now { size: 24, a: 7, b: 8 });
        assert_eq!((later.now.size, later.now.b, later.c), (32, 8, 0));
        assert!(In::<Now>([8_usize, 0].as_ptr().cast()).read("x").is_err());
        assert!(In::<Now>(std::ptr::null()).read("x").unwrap().is_none());
    }

    #[test]
    fn sizes_that_were_never_set_are_not_believed() {
        for size in [0, 15, LARGEST + 1, usize::MAX / 2, usize::MAX] {
            let mut words = [size, 1, 2, 3];
            let read = In::<Now>(words.as_ptr().cast()).read("x").unwrap_err();
            assert_eq!(read.status(), shmx_status::BadSize, "{size}");
            let fill = Fill::<Now>(words.as_mut_ptr().cast()).check("x").unwrap_err();
            assert_eq!(fill.status(), shmx_status::BadSize, "{size}");
            assert_eq!(words, [size, 1, 2, 3]);
        }
    }

    #[test]
    fn elements_of_an_array_are_of_one_size() {
        // The second one says that it is larger than the array has room for.
        let words = [24_usize, 1, 2, 64, 3, 4];
        let read = In::<Now>(words.as_ptr().cast()).array(2, "x").unwrap_err();
        assert_eq!(read.status(), shmx_status::BadSize);
        let words = [24_usize, 1, 2, 24, 3, 4];
        assert_eq!(In::<Now>(words.as_ptr().cast()).array(2, "x").unwrap()[1], Now { size: 24, a: 3, b: 4 });
    }

    #[test]
    fn places_may_be_the_same_variable() {
        let mut x = 0_u32;
        let (one, other) = (Out(&raw mut x), Out(&raw mut x));
        put(one, "one", 1).unwrap();
        put_if_wanted(other, 2);
        assert_eq!(x, 2);
        put_if_wanted(Out(std::ptr::null_mut()), 3);
        assert_eq!(put(Out(std::ptr::null_mut()), "x", 3).unwrap_err().status(), shmx_status::Null);
    }
}
