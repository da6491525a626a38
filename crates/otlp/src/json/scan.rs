//! A scan before parsing, so that the parser's recursion is bounded.

use tracehound_schema::DecodeLimits;

use crate::Error;
use crate::bound::{Depth, VALUE_LEVELS_MAX};

/// JSON levels around a value at most: of an exemplar's attribute.
const AROUND_VALUES: usize = 20;
/// JSON levels of a map within a map; an array within an array has one less.
const PER_VALUE: usize = 4;

/// Refuses nesting that no acceptable value needs, in unknown fields too.
///
/// # Errors
/// [`Error::TooDeep`].
pub(super) fn check_depth(body: &[u8], limits: &DecodeLimits) -> Result<(), Error> {
    let levels_max = limits.value_depth_max.min(VALUE_LEVELS_MAX / Depth::ARRAY);
    let depth_max = AROUND_VALUES + PER_VALUE * levels_max;
    let mut depth = 0_usize;
    let mut bytes = body.iter().enumerate();
    while let Some((offset, byte)) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    let place = format!("byte {offset}");
                    return Err(Error::TooDeep { levels_max: limits.value_depth_max, place });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some((_, byte)) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => {
                            bytes.next();
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}
