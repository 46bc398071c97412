//! placeholder
pub(super) mod plain {
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn update(state: u64, bytes: &[u8]) -> u64 {
        super::super::scalar::update(state, bytes)
    }
}
pub(super) mod gfni {
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn update(state: u64, bytes: &[u8]) -> u64 {
        super::super::scalar::update(state, bytes)
    }
}
