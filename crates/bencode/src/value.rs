//! The value tree. Byte strings are borrowed, either from the decoded input or from what a builder refers to.

/// A bencoded value (BEP 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `i…e`. Integers outside of `i64` are not accepted: no field in use needs them.
    Int(i64),
    /// `LENGTH:…`. Bytes, which may or may not be text.
    Bytes(&'a [u8]),
    /// `l…e`.
    List(Vec<Value<'a>>),
    /// `d…e`.
    Dict(Dict<'a>),
}

impl<'a> Value<'a> {
    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The byte string, if it is one.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The byte string as text, if it is one and is UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a dictionary.
    pub fn as_dict(&self) -> Option<&Dict<'a>> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$it:ident| $to:expr;)*) => {
        $(impl<'a> From<$from> for Value<'a> {
            fn from($it: $from) -> Self {
                $to
            }
        })*
    };
}

value_from! {
    i64 => |it| Self::Int(it);
    u32 => |it| Self::Int(i64::from(it));
    u16 => |it| Self::Int(i64::from(it));
    u8 => |it| Self::Int(i64::from(it));
    &'a [u8] => |it| Self::Bytes(it);
    &'a str => |it| Self::Bytes(it.as_bytes());
    Vec<Value<'a>> => |it| Self::List(it);
    Dict<'a> => |it| Self::Dict(it);
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> FromIterator<Value<'a>> for Value<'a> {
    fn from_iter<I: IntoIterator<Item = Value<'a>>>(items: I) -> Self {
        Self::List(items.into_iter().collect())
    }
}

/// A dictionary. Invariant: keys are unique and sorted as raw bytes, the order in which they are encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dict<'a> {
    entries: Vec<(&'a [u8], Value<'a>)>,
}

impl<'a> Dict<'a> {
    /// An empty dictionary.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value under `key`, in O(log n).
    pub fn get<K: AsRef<[u8]> + ?Sized>(&self, key: &K) -> Option<&Value<'a>> {
        let at = self.position(key.as_ref()).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// Puts `value` under `key` and returns what was there before. Appending in key order is O(1).
    pub fn insert<K: AsRef<[u8]> + ?Sized>(
        &mut self,
        key: &'a K,
        value: impl Into<Value<'a>>,
    ) -> Option<Value<'a>> {
        let (key, value) = (key.as_ref(), value.into());
        if self.last_key().is_none_or(|last| last < key) {
            self.entries.push((key, value));
            return None;
        }
        match self.position(key) {
            Ok(at) => self.entries.get_mut(at).map(|(_, old)| std::mem::replace(old, value)),
            Err(at) => {
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    /// [`Dict::insert`] for chaining.
    #[must_use]
    pub fn with<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K, value: impl Into<Value<'a>>) -> Self {
        self.insert(key, value);
        self
    }

    /// All entries in key order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &Value<'a>)> {
        self.entries.iter().map(|(key, value)| (*key, value))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The largest key so far.
    pub(crate) fn last_key(&self) -> Option<&'a [u8]> {
        self.entries.last().map(|(key, _)| *key)
    }

    fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|(other, _)| (*other).cmp(key))
    }
}

/// Later entries replace earlier ones with the same key.
impl<'a> FromIterator<(&'a [u8], Value<'a>)> for Dict<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], Value<'a>)>>(entries: I) -> Self {
        let mut dict = Self::new();
        for (key, value) in entries {
            dict.insert(key, value);
        }
        dict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dict_keeps_keys_sorted_and_unique() {
        let mut dict = Dict::new().with("b", 2_u32).with("a", 1_u32).with(b"c", "three");
        assert_eq!(dict.insert("b", 9_u32), Some(Value::Int(2)));
        let keys: Vec<_> = dict.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a", b"b", b"c"]);
        assert_eq!(dict.get("b").and_then(Value::as_int), Some(9));
        assert_eq!(dict.get(b"c").and_then(Value::as_str), Some("three"));
        assert_eq!(dict.get("d"), None);
        assert_eq!((dict.len(), dict.is_empty(), Dict::new().is_empty()), (3, false, true));
    }

    #[test]
    fn accessors_answer_only_for_their_own_kind() {
        let list: Value<'_> = [Value::from(1_u8), Value::from(b"\xff")].into_iter().collect();
        assert_eq!(list.as_list().map(<[_]>::len), Some(2));
        assert_eq!((list.as_int(), list.as_bytes(), list.as_str(), list.as_dict()), (None, None, None, None));
        assert_eq!(Value::from(b"\xff").as_str(), None);
        assert_eq!(Value::from(7_u16).as_list(), None);
        assert!(Value::from(Dict::new()).as_dict().is_some());
    }
}
