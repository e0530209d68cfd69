// The sentence encoder of tests/golden/bert-tiny, as a directory to spoil and as a model file.
#pragma once

#include <string>
#include <vector>

#include "export/convert.h"

namespace rotor::test {

/// Copies its files into `directory`, which is created.
void write_golden_bert(const std::string& directory);

/// Exports a directory to a .rotor file, all matrices in float32 unless `options` says so.
void export_encoder(const std::string& directory, const std::string& path,
                    const exporting::ExportOptions& options = {.layers = DenseType::f32,
                                                               .embeddings = DenseType::f32});

/// The golden model itself, exported.
void write_golden_encoder(const std::string& path, DenseType layers = DenseType::f32,
                          DenseType embeddings = DenseType::f32);

/// The texts of its golden vectors, in order.
std::vector<std::string> golden_bert_texts();

/// Replaces the one place of `from` in a file by `to`.
void replace_in_file(const std::string& path, const std::string& from, const std::string& to);

}  // namespace rotor::test
