//! Objects on disk: the form in which they stand there, and how they come to memory.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use reviver_cache::Meta;
use reviver_store::{BLOCK, Found, Part, ReadError, Store};

use super::Cache;
use super::object::{Blocks, Body, Label, Object, read_label, write_label};
use super::slices::Slicing;

/// Bodies that come from disk to memory with their heads; larger ones are sent from there.
pub(super) const AT_ONCE: u64 = 16 * 1024;
/// Blocks that are verified before a body is served from disk for the first time.
const VERIFIED: u64 = 64;
/// Bodies on disk are read into memory up to this size, at each use of so many: what is used often gets there soon, and
/// a round through more than memory holds costs little.
const PROMOTED: u64 = 1 << 20;
const PROMOTE_EVERY: u32 = 8;

/// Label and head as they go to disk; the head holds the label too, so that one read brings both.
pub(super) fn disk_form(meta: &Meta, label: &[u8], fields: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut text = Vec::with_capacity(128 + label.len());
    write_label(meta, label, &mut text);
    let mut head = Vec::with_capacity(4 + text.len() + fields.len());
    head.extend_from_slice(&(text.len() as u32).to_le_bytes());
    head.extend_from_slice(&text);
    head.extend_from_slice(fields);
    (text, head)
}

/// Before the fields of a sliced response stands how it is divided, before those of a compressed one its length.
const SLICED: &[u8] = b"\x01sliced ";
const PACKED: &[u8] = b"\x01packed ";

pub(super) fn fields_on_disk(object: &Object) -> Cow<'_, [u8]> {
    let mut out;
    match &object.body {
        Body::Sliced(slicing) => {
            let Slicing { slice, length, version } = **slicing;
            out = SLICED.to_vec();
            [slice, length, version].iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        }
        Body::Packed(_, length) => {
            out = PACKED.to_vec();
            out.extend_from_slice(&length.to_le_bytes());
        }
        _ => return object.fields().into(),
    }
    out.extend_from_slice(object.fields());
    out.into()
}

pub(super) fn packed_of(fields: &[u8]) -> (Option<u32>, &[u8]) {
    match fields.strip_prefix(PACKED).and_then(|rest| rest.split_first_chunk::<4>()) {
        Some((length, rest)) => (Some(u32::from_le_bytes(*length)), rest),
        None => (None, fields),
    }
}

pub(super) fn sliced_of(fields: &[u8]) -> (Option<Slicing>, &[u8]) {
    let read = || {
        let (numbers, rest) = fields.strip_prefix(SLICED)?.split_at_checked(24)?;
        let mut numbers = numbers.chunks_exact(8).map(|n| n.try_into().map_or(0, u64::from_le_bytes));
        let slicing = Slicing { slice: numbers.next()?, length: numbers.next()?, version: numbers.next()? };
        (slicing.slice > 0).then_some((Some(slicing), rest))
    };
    read().unwrap_or((None, fields))
}

pub(super) fn split_head(head: &[u8]) -> Option<(Meta, Label, &[u8])> {
    let (length, rest) = head.split_first_chunk::<4>()?;
    let (text, fields) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (meta, parts) = read_label(text)?;
    Some((meta, Label::new(parts), fields))
}

/// Small bodies come from disk with their heads.
pub(super) fn comes_at_once(found: &Found) -> bool {
    found.body_len > 0 && found.body_len <= AT_ONCE
}

/// What is asked for again and again is read into memory.
pub(super) async fn promoted(cache: &Arc<Cache>, object: Arc<Object>) -> Arc<Object> {
    let Body::Disk(length) = object.body else { return object };
    let uses = object.hits.load(Ordering::Relaxed);
    if length > PROMOTED.min(cache.most_in_memory) || uses % PROMOTE_EVERY != PROMOTE_EVERY - 1 {
        return object;
    }
    let Some(disk) = &cache.disk else { return object };
    let Some(found) = disk.find(object.key).filter(|found| found.body_len == length) else { return object };
    let mut blocks: Vec<Arc<[u8]>> = Vec::new();
    for index in 0..length.div_ceil(BLOCK as u64) {
        let mut block = Vec::new();
        if read_block(disk, &found, index, &mut block).await.is_none() {
            return object;
        }
        blocks.push(block.into());
    }
    let object = Arc::new(object.with_body(Blocks::body(blocks)));
    cache.show(Arc::clone(&object));
    object
}

/// Brings what stands on disk under a key to memory; what cannot be read is gone.
pub(super) async fn load(cache: &Arc<Cache>, key: u128, found: Found, since: u64) {
    let Some(disk) = &cache.disk else { return };
    let read = async {
        let head = read_head(disk, &found).await?;
        let mut block = Vec::new();
        if !comes_at_once(&found) {
            // A block that is broken in the middle would break the response off: it is looked for before, once.
            let blocks = found.body_len.div_ceil(BLOCK as u64);
            if blocks > 1 && cache.verify(key) {
                for index in 1..blocks.min(VERIFIED) {
                    read_block(disk, &found, index, &mut block).await?;
                }
            }
            return Some((head, None));
        }
        read_block(disk, &found, 0, &mut block).await?;
        Some((head, Some(block)))
    };
    let admitted = match read.await {
        Some((head, body)) => cache.admit(key, &found, &head, body, since),
        None => false,
    };
    if !admitted {
        disk.remove(key);
    }
}

async fn read_head(disk: &Arc<Store>, found: &Found) -> Option<Vec<u8>> {
    match disk.read_head(found, false) {
        Ok(head) => Some(head),
        Err(error) => read_later(disk, found, Part::Head, &error).await,
    }
}

/// Puts a block in the place of what `out` holds.
pub(super) async fn read_block(disk: &Arc<Store>, found: &Found, index: u64, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    if let Err(error) = disk.read_block(found, index, out, false) {
        *out = read_later(disk, found, Part::Block(index), &error).await?;
    }
    Some(())
}

/// By a thread of the store, where it did not stand in the page cache.
async fn read_later(disk: &Arc<Store>, found: &Found, part: Part, error: &ReadError) -> Option<Vec<u8>> {
    if !matches!(error, ReadError::WouldBlock) {
        return None;
    }
    let (done, read) = tokio::sync::oneshot::channel();
    disk.read_later(found.clone(), part, Box::new(move |result| drop(done.send(result))));
    read.await.ok()?.ok()
}
