// A short name for the weights that an adapter is made for, so that it is not put on others. It is the same
// in whichever format a model is kept: what formats may change (embeddings, heads, norms) is not part of it.
#pragma once

#include <string>

#include "rotor/formats/model_source.h"
#include "rotor/formats/rotor_file.h"

namespace rotor {

/// The checksum (checksum.h) over a line for each linear layer of the model, in the order of the tensor
/// table: of a ternary matrix "NAME SHAPE CHECKSUM SCALE\n", with the checksum of its tiles (core/tiles.h)
/// and its scale as bfloat16, four hexadecimal digits, since masters that are made of codes may give back its
/// neighbour; of any other "NAME SHAPE CHECKSUM\n", with that of its values as float32. Reads these weights.
/// Throws Error for one that is bad.
std::string base_fingerprint(const ModelSource& source);

/// The same of a .rotor file, from the checksums that it holds: reads no weights.
std::string base_fingerprint(const RotorFile& file);

/// A short name for what a model makes of texts, so that its vectors are not mixed with those of another: the
/// checksum over a line "KEY VALUE\n" of metadata, in the order of keys, for the checksum of each tensor,
/// those of the tokenizer among them, the config, which has an encoder's pooling and length, the tokenizer's
/// kind and settings, and the begin-of-text token. The same weights kept in another way give another name;
/// chat template and stop tokens change nothing. Reads no weights.
std::string embedding_fingerprint(const RotorFile& file);

}  // namespace rotor
