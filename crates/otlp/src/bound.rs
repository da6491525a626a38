//! A walk over protobuf bytes, before prost decodes them.
//!
//! A message of 2-byte empty spans decodes to two hundred times its size, and
//! a value may nest as deep as the message is long. This walk keeps its own
//! stack, allocates next to nothing, and refuses both before any struct is built.

mod shapes;
#[cfg(test)]
mod tests;

use tracehound_schema::{DecodeLimits, Signal};

use crate::Error;
use crate::budget::Budget;
use shapes::{Field, Kind, Shape};

/// Levels of messages that values may take, of the 100 that prost follows; the
/// deepest value, an exemplar's attribute, begins at level 8.
/// An array takes two levels, a map three.
pub(crate) const VALUE_LEVELS_MAX: usize = 90;

/// Levels of groups that prost skips over.
const GROUPS_MAX: usize = 90;

#[derive(Clone, Copy)]
struct Frame {
    shape: &'static Shape,
    end: usize,
    depth: Depth,
}

/// How deep inside a value a message stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Depth {
    /// Arrays and maps.
    pub(crate) values: usize,
    /// Protobuf messages that they are made of.
    pub(crate) messages: usize,
}

impl Depth {
    pub(crate) const ARRAY: usize = 2;
    pub(crate) const MAP: usize = 3;

    /// One array or map further in; `None` beyond the limit.
    pub(crate) fn deeper(self, messages: usize, values_max: usize) -> Option<Self> {
        let depth = Self { values: self.values + 1, messages: self.messages + messages };
        (depth.values <= values_max && depth.messages <= VALUE_LEVELS_MAX).then_some(depth)
    }
}

/// Checks that `body` is well-formed on the wire and that its decoded form
/// stays within the limits. What it finds to take is taken from `budget`.
///
/// # Errors
/// [`Error::Malformed`], [`Error::TooDeep`], [`Error::TooLarge`]. Text that is
/// not UTF-8 is not noticed here.
///
/// Source: protobuf.dev/programming-guides/encoding.
pub(crate) fn check(signal: Signal, body: &[u8], limits: &DecodeLimits, budget: &mut Budget) -> Result<(), Error> {
    let root = shapes::request(signal);
    let mut walk = Walk { body, at: 0, root };
    let mut stack = vec![Frame { shape: root, end: body.len(), depth: Depth::default() }];
    while let Some(&frame) = stack.last() {
        if walk.at == frame.end {
            stack.pop();
            continue;
        }
        let (number, wire) = walk.key(frame)?;
        let Some(field) = frame.shape.field(number) else {
            walk.skip(frame, number, wire)?;
            continue;
        };
        if let Some(inner) = walk.field(frame, field, wire, budget)? {
            let mut depth = frame.depth;
            if inner.shape.value_levels > 0 {
                let deeper = depth.deeper(inner.shape.value_levels, limits.value_depth_max);
                depth = deeper.ok_or_else(|| Error::TooDeep {
                    levels_max: limits.value_depth_max,
                    place: format!("byte {}", walk.at),
                })?;
            }
            stack.push(Frame { depth, ..inner });
        }
    }
    Ok(())
}

struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    root: &'static Shape,
}

impl Walk<'_> {
    fn malformed(&self, frame: Frame, detail: &str) -> Error {
        let detail = format!("{detail} at byte {} in {}", self.at, frame.shape.name);
        Error::Malformed { what: self.root.name, detail }
    }

    fn key(&mut self, frame: Frame) -> Result<(u32, u8), Error> {
        let key = self.varint(frame)?;
        let wire = u8::try_from(key & 7).expect("three bits");
        match u32::try_from(key >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok((number, wire)),
            _ => Err(self.malformed(frame, "invalid field number")),
        }
    }

    fn varint(&mut self, frame: Frame) -> Result<u64, Error> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            if self.at >= frame.end {
                return Err(self.malformed(frame, "truncated varint"));
            }
            let byte = self.body[self.at];
            if shift == 63 && byte > 1 {
                break;
            }
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed(frame, "varint of more than 64 bits"))
    }

    fn advance(&mut self, frame: Frame, bytes: usize) -> Result<(), Error> {
        if frame.end - self.at < bytes {
            return Err(self.malformed(frame, "truncated field"));
        }
        self.at += bytes;
        Ok(())
    }

    /// The length of a length-delimited field, checked against what is left.
    fn length(&mut self, frame: Frame) -> Result<usize, Error> {
        let length = self.varint(frame)?;
        match usize::try_from(length) {
            Ok(length) if length <= frame.end - self.at => Ok(length),
            _ => Err(self.malformed(frame, &format!("length {length} beyond the end of its message"))),
        }
    }

    /// Passes over a field's content, or returns the message it begins.
    fn field(&mut self, frame: Frame, field: &Field, wire: u8, budget: &mut Budget) -> Result<Option<Frame>, Error> {
        const WHAT: &str = "the decoded message";
        match (field.kind, wire) {
            (Kind::Message(shape), 2) => {
                budget.take(WHAT, shape.bytes)?;
                let end = self.length(frame)? + self.at;
                return Ok(Some(Frame { shape, end, depth: frame.depth }));
            }
            // Twice: a vector that grew has room to spare.
            (Kind::Messages(shape), 2) => {
                budget.take(WHAT, 2 * shape.bytes)?;
                let end = self.length(frame)? + self.at;
                return Ok(Some(Frame { shape, end, depth: frame.depth }));
            }
            (Kind::Text, 2) => {
                let length = self.length(frame)?;
                budget.take(WHAT, length)?;
                self.at += length;
            }
            (Kind::Texts, 2) => {
                let length = self.length(frame)?;
                budget.take(WHAT, length + 2 * size_of::<String>())?;
                self.at += length;
            }
            (Kind::Varint, 0) => {
                self.varint(frame)?;
            }
            (Kind::Varints, 0) => {
                budget.take(WHAT, 16)?;
                self.varint(frame)?;
            }
            (Kind::Varints, 2) => {
                let end = self.length(frame)? + self.at;
                let packed = Frame { end, ..frame };
                while self.at < end {
                    budget.take(WHAT, 16)?;
                    self.varint(packed)?;
                }
            }
            (Kind::Fixed64, 1) => self.advance(frame, 8)?,
            (Kind::Fixed64s, 1) => {
                budget.take(WHAT, 16)?;
                self.advance(frame, 8)?;
            }
            (Kind::Fixed64s, 2) => {
                let length = self.length(frame)?;
                if length % 8 != 0 {
                    return Err(self.malformed(frame, "packed field is not whole 64-bit numbers"));
                }
                budget.take(WHAT, 2 * length)?;
                self.at += length;
            }
            (Kind::Fixed32, 5) => self.advance(frame, 4)?,
            _ => {
                let detail = format!("field {} has wire type {wire}", field.number);
                return Err(self.malformed(frame, &detail));
            }
        }
        Ok(None)
    }

    /// Passes over an unknown field.
    fn skip(&mut self, frame: Frame, number: u32, wire: u8) -> Result<(), Error> {
        let mut groups = Vec::new();
        let (mut number, mut wire) = (number, wire);
        loop {
            match wire {
                0 => {
                    self.varint(frame)?;
                }
                1 => self.advance(frame, 8)?,
                2 => {
                    let length = self.length(frame)?;
                    self.at += length;
                }
                3 if groups.len() < GROUPS_MAX => groups.push(number),
                3 => return Err(self.malformed(frame, "groups nested too deeply")),
                4 if groups.pop() == Some(number) => {}
                4 => return Err(self.malformed(frame, "end of a group that did not begin")),
                5 => self.advance(frame, 4)?,
                _ => return Err(self.malformed(frame, &format!("invalid wire type {wire}"))),
            }
            if groups.is_empty() {
                return Ok(());
            }
            (number, wire) = self.key(frame)?;
        }
    }
}
