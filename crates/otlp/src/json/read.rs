//! How JSON becomes messages, lists and fields; `null` is always what is absent.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tracehound_schema::DecodeLimits;

use super::scalar::Scalar;
use crate::Error;
use crate::bound::Depth;
use crate::budget::Budget;

/// What reading is bounded by, and why it was refused.
pub(crate) struct Reader<'b> {
    values_max: usize,
    depth: Cell<Depth>,
    budget: RefCell<&'b mut Budget>,
    refusal: RefCell<Option<Error>>,
}

impl<'b> Reader<'b> {
    pub(super) fn new(limits: &DecodeLimits, budget: &'b mut Budget) -> Self {
        Self {
            values_max: limits.value_depth_max,
            depth: Cell::default(),
            budget: RefCell::new(budget),
            refusal: RefCell::default(),
        }
    }

    pub(super) fn into_refusal(self) -> Option<Error> {
        self.refusal.into_inner()
    }

    /// Takes memory from the budget.
    pub(super) fn take<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let taken = self.budget.borrow_mut().take("the decoded message", bytes);
        taken.map_err(|error| self.refuse(error))
    }

    /// Enters a value `messages` levels of messages deeper; returns the depth to go back to.
    fn enter<E: serde::de::Error>(&self, messages: usize) -> Result<Depth, E> {
        let outer = self.depth.get();
        if messages > 0 {
            let deeper = outer.deeper(messages, self.values_max);
            let too_deep = || Error::TooDeep { levels_max: self.values_max, place: String::new() };
            self.depth.set(deeper.ok_or_else(|| self.refuse(too_deep()))?);
        }
        Ok(outer)
    }

    fn refuse<E: serde::de::Error>(&self, error: Error) -> E {
        let text = E::custom(&error);
        *self.refusal.borrow_mut() = Some(error);
        text
    }
}

/// A message that can be read field by field.
pub(crate) trait FromJson: Default {
    /// Levels of messages it adds to a value's depth; 0 for what is not a value.
    const VALUE_LEVELS: usize;

    /// Reads the value of field `key` into `self`, or passes over it if it is unknown.
    #[doc(hidden)]
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, reader: &Reader<'_>) -> Result<(), A::Error>;
}

/// A way to read a JSON value.
pub(super) trait Read {
    type Out;
    fn read<'de, D: Deserializer<'de>>(reader: &Reader<'_>, json: D) -> Result<Self::Out, D::Error>;
}

/// Reads the value that follows a key.
pub(super) fn next<'de, R: Read, A: MapAccess<'de>>(map: &mut A, reader: &Reader<'_>) -> Result<R::Out, A::Error> {
    map.next_value_seed(Seed::<R>(reader, PhantomData))
}

struct Seed<'r, 'b, R>(&'r Reader<'b>, PhantomData<R>);

impl<'de, R: Read> DeserializeSeed<'de> for Seed<'_, '_, R> {
    type Value = R::Out;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<R::Out, D::Error> {
        R::read(self.0, json)
    }
}

/// A scalar; null is the default.
pub(super) struct One<S>(PhantomData<S>);
/// A scalar; null is `None`.
pub(super) struct Maybe<S>(PhantomData<S>);
/// A message; null is `None`.
pub(super) struct Object<M>(PhantomData<M>);
/// A list of scalars or messages; null is an empty one, a null element a default one.
pub(super) struct List<R>(PhantomData<R>);

impl<S: Scalar> Read for One<S> {
    type Out = S::Out;

    fn read<'de, D: Deserializer<'de>>(reader: &Reader<'_>, json: D) -> Result<S::Out, D::Error> {
        Maybe::<S>::read(reader, json).map(Option::unwrap_or_default)
    }
}

impl<S: Scalar> Read for Maybe<S> {
    type Out = Option<S::Out>;

    fn read<'de, D: Deserializer<'de>>(reader: &Reader<'_>, json: D) -> Result<Self::Out, D::Error> {
        let visitor = ScalarVisitor::<S>(reader, PhantomData);
        if !S::EXACT {
            return json.deserialize_any(visitor);
        }
        let text = <&RawValue>::deserialize(json)?.get();
        if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return known(S::of_text(text), || crate::text::quoted(text), S::EXPECTED);
        }
        serde_json::Deserializer::from_str(text).deserialize_any(visitor).map_err(serde::de::Error::custom)
    }
}

struct ScalarVisitor<'r, 'b, S>(&'r Reader<'b>, PhantomData<S>);

impl<S: Scalar> Visitor<'_> for ScalarVisitor<'_, '_, S> {
    type Value = Option<S::Out>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::EXPECTED)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        known(S::of_bool(value), || format!("{value}"), S::EXPECTED)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        known(S::of_integer(value.into()), || format!("{value}"), S::EXPECTED)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        known(S::of_integer(value.into()), || format!("{value}"), S::EXPECTED)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        known(S::of_double(value), || format!("{value:e}"), S::EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.0.take(text.len())?;
        known(S::of_text(text), || crate::text::quoted(text), S::EXPECTED)
    }
}

fn known<T, E: serde::de::Error>(value: Option<T>, found: impl Fn() -> String, expected: &str) -> Result<Option<T>, E> {
    match value {
        Some(value) => Ok(Some(value)),
        None => Err(E::custom(format!("{} is not {expected}", found()))),
    }
}

impl<M: FromJson> Read for Object<M> {
    type Out = Option<M>;

    fn read<'de, D: Deserializer<'de>>(reader: &Reader<'_>, json: D) -> Result<Self::Out, D::Error> {
        json.deserialize_any(ObjectVisitor::<M>(reader, PhantomData))
    }
}

struct ObjectVisitor<'r, 'b, M>(&'r Reader<'b>, PhantomData<M>);

impl<'de, M: FromJson> Visitor<'de> for ObjectVisitor<'_, '_, M> {
    type Value = Option<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        self.0.take(size_of::<M>())?;
        let outer = self.0.enter(M::VALUE_LEVELS)?;
        let mut message = M::default();
        while let Some(key) = map.next_key_seed(Key)? {
            message.field(&key, &mut map, self.0)?;
        }
        self.0.depth.set(outer);
        Ok(Some(message))
    }
}

/// Borrows a key where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// What a list makes of its elements.
pub(super) trait Element: Read {
    type Item;
    fn item(out: Self::Out) -> Self::Item;
}

impl<M: FromJson> Element for Object<M> {
    type Item = M;

    fn item(out: Option<M>) -> M {
        out.unwrap_or_default()
    }
}

impl<S: Scalar> Element for One<S> {
    type Item = S::Out;

    fn item(out: S::Out) -> S::Out {
        out
    }
}

impl<R: Element> Read for List<R> {
    type Out = Vec<R::Item>;

    fn read<'de, D: Deserializer<'de>>(reader: &Reader<'_>, json: D) -> Result<Self::Out, D::Error> {
        json.deserialize_any(ListVisitor::<R>(reader, PhantomData))
    }
}

struct ListVisitor<'r, 'b, R>(&'r Reader<'b>, PhantomData<R>);

impl<'de, R: Element> Visitor<'de> for ListVisitor<'_, '_, R> {
    type Value = Vec<R::Item>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(out) = seq.next_element_seed(Seed::<R>(self.0, PhantomData))? {
            // Beside the element's own: a vector that grew has room to spare.
            self.0.take(size_of::<R::Item>())?;
            items.push(R::item(out));
        }
        Ok(items)
    }
}
