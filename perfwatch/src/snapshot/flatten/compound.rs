//! The serde serializer traits for lists, maps and objects.

use serde::Serialize;
use serde::ser;

use super::plain::KeyText;
use super::{Compound, Result};

macro_rules! compound {
    ($($trait:ident { $($method:ident($($name:ident: $type:ty),*) => $call:ident($($argument:expr),*);)* })*) => {
        $(impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = serde_json::Error;
            $(fn $method<T: Serialize + ?Sized>(&mut self, $($name: $type,)* value: &T) -> Result<()> {
                self.$call($($argument,)* value)
            })*
            fn end(self) -> Result<()> {
                self.finish()
            }
        })*
    };
}

compound! {
    SerializeSeq { serialize_element() => element(); }
    SerializeTuple { serialize_element() => element(); }
    SerializeTupleStruct { serialize_field() => element(); }
    SerializeTupleVariant { serialize_field() => element(); }
    SerializeStruct { serialize_field(name: &'static str) => member(name); }
    SerializeStructVariant { serialize_field(name: &'static str) => member(name); }
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        match self.key_buffer() {
            Some(buffer) => {
                buffer.clear();
                key.serialize(KeyText(buffer))
            }
            None => Err(ser::Error::custom("an object was expected")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.entry(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}
