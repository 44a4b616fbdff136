//! Serializers for the few places that allow only one kind of value: integers or texts.

use serde::Serialize;
use serde::ser::{self, Serializer};

type Result<T, E = serde_json::Error> = std::result::Result<T, E>;

pub(super) fn integer<T: Serialize + ?Sized>(value: &T) -> Result<u64> {
    let mut one = Vec::with_capacity(1);
    value.serialize(Integers(&mut one))?;
    one.first().copied().ok_or_else(|| ser::Error::custom("a number was expected"))
}

macro_rules! refused {
    ($what:literal: $($method:ident($($name:ident: $type:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $($name: $type),*) -> Result<$ok> {
            Err(ser::Error::custom(concat!($what, " was expected")))
        })*
    };
}

/// A value may be in an `Option` or a newtype struct, but not in an enum variant.
macro_rules! looked_through {
    ($what:literal) => {
        fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
            value.serialize(self)
        }

        fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
            value.serialize(self)
        }

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<()> {
            Err(ser::Error::custom(concat!($what, " was expected")))
        }
    };
}

type No = ser::Impossible<(), serde_json::Error>;

/// Collects the integers of a value, however they are nested.
pub(super) struct Integers<'a>(pub(super) &'a mut Vec<u64>);

impl Serializer for Integers<'_> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    widened! { serialize_u8(u8), serialize_u16(u16), serialize_u32(u32) => serialize_u64 }

    fn serialize_u64(self, value: u64) -> Result<()> {
        self.0.push(value);
        Ok(())
    }

    looked_through! { "an integer" }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self> {
        Ok(self)
    }

    refused! { "an integer":
        serialize_bool(_v: bool) -> ();
        serialize_i8(_v: i8) -> ();
        serialize_i16(_v: i16) -> ();
        serialize_i32(_v: i32) -> ();
        serialize_i64(_v: i64) -> ();
        serialize_f32(_v: f32) -> ();
        serialize_f64(_v: f64) -> ();
        serialize_char(_v: char) -> ();
        serialize_str(_v: &str) -> ();
        serialize_bytes(_v: &[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(_n: &'static str) -> ();
        serialize_unit_variant(_n: &'static str, _i: u32, _v: &'static str) -> ();
        serialize_tuple_struct(_n: &'static str, _l: usize) -> No;
        serialize_tuple_variant(_n: &'static str, _i: u32, _v: &'static str, _l: usize) -> No;
        serialize_map(_l: Option<usize>) -> No;
        serialize_struct(_n: &'static str, _l: usize) -> No;
        serialize_struct_variant(_n: &'static str, _i: u32, _v: &'static str, _l: usize) -> No;
    }
}

impl ser::SerializeSeq for Integers<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(Integers(self.0))
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

impl ser::SerializeTuple for Integers<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(Integers(self.0))
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

/// Accepts a text, or a number as text: the key of a map.
pub(super) struct KeyText<'a>(pub(super) &'a mut String);

impl Serializer for KeyText<'_> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    fn serialize_str(self, value: &str) -> Result<()> {
        self.0.push_str(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.0.push(value);
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    widened! { serialize_u8(u8), serialize_u16(u16), serialize_u32(u32) => serialize_u64 }

    fn serialize_u64(self, value: u64) -> Result<()> {
        self.serialize_str(&value.to_string())
    }

    looked_through! { "a text" }

    refused! { "a text":
        serialize_bool(_v: bool) -> ();
        serialize_i8(_v: i8) -> ();
        serialize_i16(_v: i16) -> ();
        serialize_i32(_v: i32) -> ();
        serialize_i64(_v: i64) -> ();
        serialize_f32(_v: f32) -> ();
        serialize_f64(_v: f64) -> ();
        serialize_bytes(_v: &[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(_n: &'static str) -> ();
        serialize_seq(_l: Option<usize>) -> No;
        serialize_tuple(_l: usize) -> No;
        serialize_tuple_struct(_n: &'static str, _l: usize) -> No;
        serialize_tuple_variant(_n: &'static str, _i: u32, _v: &'static str, _l: usize) -> No;
        serialize_map(_l: Option<usize>) -> No;
        serialize_struct(_n: &'static str, _l: usize) -> No;
        serialize_struct_variant(_n: &'static str, _i: u32, _v: &'static str, _l: usize) -> No;
    }
}
