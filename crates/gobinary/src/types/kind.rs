//! Kinds of types (`reflect.Kind`).

/// What a type is, as `reflect.Kind` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Bool,
    Int,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Uintptr,
    Float32,
    Float64,
    Complex64,
    Complex128,
    Array,
    Chan,
    Func,
    Interface,
    Map,
    Pointer,
    Slice,
    String,
    Struct,
    UnsafePointer,
}

/// In the order of their numbers, from 1 on.
const KINDS: [Kind; 26] = [
    Kind::Bool,
    Kind::Int,
    Kind::Int8,
    Kind::Int16,
    Kind::Int32,
    Kind::Int64,
    Kind::Uint,
    Kind::Uint8,
    Kind::Uint16,
    Kind::Uint32,
    Kind::Uint64,
    Kind::Uintptr,
    Kind::Float32,
    Kind::Float64,
    Kind::Complex64,
    Kind::Complex128,
    Kind::Array,
    Kind::Chan,
    Kind::Func,
    Kind::Interface,
    Kind::Map,
    Kind::Pointer,
    Kind::Slice,
    Kind::String,
    Kind::Struct,
    Kind::UnsafePointer,
];

impl Kind {
    /// Of the byte in a type's descriptor: up to Go 1.25 its upper bits are flags.
    pub(super) fn of(byte: u8) -> Option<Self> {
        KINDS.get(usize::from(byte & 0x1f).checked_sub(1)?).copied()
    }

    /// Where its one element type stands in the descriptor, behind what all types have; `None` without one.
    pub(super) fn elem(self) -> Option<u64> {
        match self {
            Self::Array | Self::Chan | Self::Pointer | Self::Slice => Some(48),
            Self::Map => Some(56),
            _ => None,
        }
    }

    /// Bytes of its descriptor, behind which what named types have stands (`abi.(*Type).Uncommon`). `None` of
    /// maps: theirs changed with the maps, and within a release by experiment.
    pub(super) fn descriptor(self) -> Option<u64> {
        match self {
            Self::Struct | Self::Interface => Some(80),
            Self::Array => Some(72),
            Self::Chan => Some(64),
            Self::Pointer | Self::Slice | Self::Func => Some(56),
            Self::Map => None,
            _ => Some(48),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_numbers() {
        assert_eq!(KINDS.map(|k| k as usize), std::array::from_fn(|i| i));
        assert_eq!(Kind::of(25), Some(Kind::Struct));
        assert_eq!(
            Kind::of(0x20 | 0x16),
            Some(Kind::Pointer),
            "with KindDirectIface"
        );
        assert_eq!(Kind::of(0), None);
        assert_eq!(Kind::of(27), None);
    }
}
