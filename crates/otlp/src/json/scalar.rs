//! JSON's scalars as protobuf's.

use std::marker::PhantomData;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A kind of scalar, made of what JSON has for it; `None` if that is not one.
pub(super) trait Scalar {
    type Out: Default;
    const EXPECTED: &'static str;
    /// Whether a number's own digits matter: serde_json's doubles may be off in the last bit.
    const EXACT: bool = false;

    fn of_bool(_: bool) -> Option<Self::Out> {
        None
    }
    fn of_integer(_: i128) -> Option<Self::Out> {
        None
    }
    fn of_double(_: f64) -> Option<Self::Out> {
        None
    }
    fn of_text(_: &str) -> Option<Self::Out> {
        None
    }
}

/// Text.
pub(super) struct Text;
/// An id.
pub(super) struct Hex;
/// Bytes.
pub(super) struct Base64;
/// A boolean.
pub(super) struct Bool;
/// A double.
pub(super) struct Double;
/// An integer of type `T`.
pub(super) struct Int<T>(PhantomData<T>);
/// A number or name of enum `E`.
pub(super) struct Enum<E>(PhantomData<E>);

impl Scalar for Text {
    type Out = String;
    const EXPECTED: &'static str = "text";

    fn of_text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

impl Scalar for Hex {
    type Out = Vec<u8>;
    const EXPECTED: &'static str = "an id in hex";

    fn of_text(text: &str) -> Option<Vec<u8>> {
        hex::decode(text).ok()
    }
}

impl Scalar for Base64 {
    type Out = Vec<u8>;
    const EXPECTED: &'static str = "bytes in base64";

    fn of_text(text: &str) -> Option<Vec<u8>> {
        const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        const STANDARD_ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
        const URL_SAFE_ENGINE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);
        STANDARD_ENGINE.decode(text).or_else(|_| URL_SAFE_ENGINE.decode(text)).ok()
    }
}

impl Scalar for Bool {
    type Out = bool;
    const EXPECTED: &'static str = "true or false";

    fn of_bool(value: bool) -> Option<bool> {
        Some(value)
    }
}

impl Scalar for Double {
    type Out = f64;
    const EXPECTED: &'static str = "a number";
    const EXACT: bool = true;

    fn of_integer(value: i128) -> Option<f64> {
        Some(value as f64)
    }

    fn of_double(value: f64) -> Option<f64> {
        Some(value)
    }

    fn of_text(text: &str) -> Option<f64> {
        match text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => finite(text),
        }
    }
}

/// A decimal number; Rust's own words for what is not finite are not JSON's.
fn finite(text: &str) -> Option<f64> {
    let decimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let value: f64 = text.bytes().all(decimal).then(|| text.parse().ok())??;
    value.is_finite().then_some(value)
}

impl<T: TryFrom<i128> + Default> Scalar for Int<T> {
    type Out = T;
    const EXPECTED: &'static str = "an integer in range";

    fn of_integer(value: i128) -> Option<T> {
        T::try_from(value).ok()
    }

    /// Such as 1e3 or 1.0. Doubles of 2^64 and more are out of range for every integer here.
    fn of_double(value: f64) -> Option<T> {
        const BEYOND: f64 = 18_446_744_073_709_551_616.0;
        if value.fract() != 0.0 || value.abs() >= BEYOND {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "integral and within 65 bits")]
        let integer = value as i128;
        T::try_from(integer).ok()
    }

    fn of_text(text: &str) -> Option<T> {
        match text.parse::<i128>() {
            Ok(value) => T::try_from(value).ok(),
            Err(_) => finite(text).and_then(Self::of_double),
        }
    }
}

/// The names of an enum's numbers.
pub(super) trait EnumNames {
    fn number(name: &str) -> Option<i32>;
}

impl<E: EnumNames> Scalar for Enum<E> {
    type Out = i32;
    const EXPECTED: &'static str = "an enum's number";

    fn of_integer(value: i128) -> Option<i32> {
        Int::of_integer(value)
    }

    fn of_double(value: f64) -> Option<i32> {
        Int::of_double(value)
    }

    /// OTLP asks for numbers; names, protobuf's own form, do no harm.
    fn of_text(text: &str) -> Option<i32> {
        E::number(text).or_else(|| Int::of_text(text))
    }
}
