// Directories of sentence encoders: what is read, what is left out, what is refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/base_fingerprint.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/json.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/formats/rotor_source.h"
#include "rotor/text/model_text.h"
#include "tests/support/encoders.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;
using test::replace_in_file;
using test::TempDir;

class BertCheckpoint : public ::testing::Test {
 protected:
  BertCheckpoint() { test::write_golden_bert(path()); }
  std::string path() const { return dir_.file("m"); }
  std::string file(const std::string& name) const { return path() + "/" + name; }
  void expect_refused(const std::vector<std::string>& parts) const {
    expect_error([&] { static_cast<void>(Checkpoint(path())); }, parts);
  }
  /// Writes the weights anew: `name` gives each tensor's, "" leaves it out.
  template <class Name>
  void rename_tensors(const Name& name, std::vector<int64_t> other_shape = {}) const {
    const SafetensorsFile golden = test::open_golden("bert-tiny/model.safetensors");
    std::vector<TensorDeclaration> declarations;
    std::vector<std::vector<uint8_t>> data;
    for (const TensorInfo& tensor : golden.tensors()) {
      const std::string now = name(tensor.name);
      if (now.empty()) continue;
      const bool changed = !other_shape.empty() && now.ends_with("layer.1.output.dense.weight");
      declarations.push_back({now, tensor.dtype, changed ? other_shape : tensor.shape});
      const auto bytes = golden.bytes(tensor);
      data.emplace_back(bytes.begin(), bytes.end());
    }
    SafetensorsWriter writer(file("model.safetensors"), {{"format", "pt"}}, declarations);
    for (const auto& bytes : data) writer.write(bytes);
    writer.commit();
  }

  TempDir dir_;
};

TEST_F(BertCheckpoint, IsRead) {
  const Checkpoint checkpoint(path());
  const BertConfig& bert = checkpoint.config().bert;
  EXPECT_TRUE(checkpoint.config().is_encoder());
  EXPECT_FALSE(checkpoint.config().is_transformer());
  EXPECT_EQ(bert.hidden_size, 36);
  EXPECT_EQ(bert.head_dim(), 12);
  EXPECT_EQ(bert.max_seq_length, 24);
  EXPECT_EQ(bert.pooling, Pooling::mean);
  EXPECT_TRUE(bert.normalize);
  EXPECT_EQ(checkpoint.left_out(), (std::vector<std::string>{"embeddings.position_ids", "pooler.dense.bias",
                                                             "pooler.dense.weight"}));
  const std::string json = model_config_to_json(checkpoint.config());
  EXPECT_EQ(model_config_to_json(model_config_from_json(json, "again")), json);
  const text::ModelText text = text::model_text(checkpoint);
  EXPECT_EQ(text.tokenizer->kind(), "word_piece");
  EXPECT_EQ(text.metadata.bos_token, 2);
}

TEST_F(BertCheckpoint, NamesOfModelsWithHeadsAndOfOldOnes) {
  const TensorSpec norm{"encoder.layer.0.output.LayerNorm.weight", {36}, TensorRole::vector};
  const std::vector<float> expected = Checkpoint(path()).tensor(norm);
  rename_tensors([](const std::string& name) { return "bert." + name; });
  EXPECT_EQ(Checkpoint(path()).tensor(norm), expected);
  EXPECT_EQ(Checkpoint(path()).left_out().size(), 3U);
  rename_tensors([](std::string name) {
    if (const size_t at = name.find("LayerNorm.weight"); at != std::string::npos)
      name.replace(at, std::string::npos, "LayerNorm.gamma");
    if (const size_t at = name.find("LayerNorm.bias"); at != std::string::npos)
      name.replace(at, std::string::npos, "LayerNorm.beta");
    return name == "pooler.dense.bias" ? "cls.predictions.bias" : name;
  });
  EXPECT_EQ(Checkpoint(path()).tensor(norm), expected);
  EXPECT_EQ(std::ranges::count(Checkpoint(path()).left_out(), "cls.predictions.bias"), 1);
}

TEST_F(BertCheckpoint, MissingAndWrongTensorsAreNamed) {
  rename_tensors(
      [](const std::string& name) { return name == "encoder.layer.1.attention.self.key.bias" ? "" : name; });
  expect_refused({"model.safetensors: tensor \"encoder.layer.1.attention.self.key.bias\"", "is missing"});
  rename_tensors([](const std::string& name) { return name; }, {50, 36});
  expect_refused({"tensor \"encoder.layer.1.output.dense.weight\": expected shape [36, 50], found [50, 36]"});
  rename_tensors([](const std::string& name) {
    return name == "pooler.dense.weight" ? "encoder.layer.2.output.dense.weight" : name;
  });
  expect_refused({"tensor \"encoder.layer.2.output.dense.weight\"", "is not part of this model"});
  rename_tensors([](const std::string& name) {
    return name == "pooler.dense.bias" ? "bert.embeddings.LayerNorm.bias" : name;
  });
  expect_refused({"stands in", "too, as \""});
}

TEST_F(BertCheckpoint, TruncatedWeights) {
  std::filesystem::resize_file(file("model.safetensors"), 100000);
  expect_refused({"model.safetensors"});
}

TEST_F(BertCheckpoint, ConfigsThatAreNotComputed) {
  const auto refuse = [&](const char* from, const char* to, const std::vector<std::string>& parts) {
    replace_in_file(file("config.json"), from, to);
    expect_refused(parts);
    replace_in_file(file("config.json"), to, from);
  };
  refuse("\"gelu\"", "\"relu\"", {"config.json: hidden_act: expected \"gelu\", found \"relu\""});
  refuse("\"gelu\"", "\"gelu_new\"", {"hidden_act: expected \"gelu\", found \"gelu_new\""});
  refuse("\"absolute\"", "\"relative_key\"",
         {"position_embedding_type: expected \"absolute\", found \"relative_key\""});
  refuse("\"num_attention_heads\": 3", "\"num_attention_heads\": 5",
         {"num_attention_heads: expected a divisor of hidden_size, found 5"});
  refuse("\"vocab_size\": 528", "\"vocab_size\": 0", {"vocab_size: expected 1 to", "found 0"});
  refuse("\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 0", {"layer_norm_eps", "found 0"});
  refuse("\"is_decoder\": false", "\"is_decoder\": true", {"is_decoder: expected false, found true"});
  refuse("\"hidden_size\": 36", "\"hidden\": 36", {"key \"hidden_size\" is missing"});
  refuse("\"hidden_size\": 36", "\"quantization_config\": {}, \"hidden_size\": 36",
         {"quantization_config: expected null, found {}"});
  ModelConfig config = Checkpoint(path()).config();
  config.quantization = Quantization::ternary;
  expect_error([&] { config.validate(); }, {"quantization: expected none", "found ternary"});
  expect_error([&] { static_cast<void>(Checkpoint(path(), {.ternarize = true})); },
               {"--ternarize is not for sentence encoders"});
}

TEST_F(BertCheckpoint, PoolingIsTakenOrRefusedByName) {
  const std::string pooling = file("1_Pooling/config.json");
  const auto write = [&](const Json& json) { test::write_bytes(pooling, dump_json(json)); };
  write({{"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", false}});
  EXPECT_EQ(Checkpoint(path()).config().bert.pooling, Pooling::cls);
  write({{"pooling_mode", "cls"}});
  EXPECT_EQ(Checkpoint(path()).config().bert.pooling, Pooling::cls);
  write({{"pooling_mode_max_tokens", true}});
  expect_refused({"1_Pooling/config.json: pooling: expected mean or cls, found max_tokens"});
  write({{"pooling_mode", "lasttoken"}});
  expect_refused({"pooling: expected mean or cls, found lasttoken"});
  write({{"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", true}});
  expect_refused({"expected one pooling_mode_... that is true, found cls_token and mean_tokens"});
  write({{"pooling_mode_cls_token", false}});
  expect_refused({"expected one pooling_mode_... that is true, found none"});
  write({{"word_embedding_dimension", 768}, {"pooling_mode_mean_tokens", true}});
  expect_refused({"word_embedding_dimension: expected 36 (hidden_size), found 768"});
}

TEST_F(BertCheckpoint, ModulesAreTakenOrRefusedByName) {
  const std::string modules = file("modules.json");
  const Json good = read_json_file(modules);
  Json json = good;
  json[2]["type"] = "sentence_transformers.models.Dense";
  test::write_bytes(modules, dump_json(json));
  expect_refused(
      {"modules.json: module 2: expected Normalize, found \"sentence_transformers.models.Dense\""});
  json = good;
  json[1]["path"] = "../elsewhere";
  test::write_bytes(modules, dump_json(json));
  expect_refused({"module 1: path: expected a directory beside this file, found \"../elsewhere\""});
  json = good;
  json[0]["path"] = "0_Transformer";
  test::write_bytes(modules, dump_json(json));
  expect_refused({"module 0: path", "found \"0_Transformer\""});
  test::write_bytes(modules, "{}");
  expect_refused({"expected an array of modules, found {}"});
  json = good;
  json.erase(2);
  test::write_bytes(modules, dump_json(json));
  EXPECT_FALSE(Checkpoint(path()).config().bert.normalize);
  std::filesystem::remove(modules);  // a plain BERT
  EXPECT_EQ(Checkpoint(path()).config().bert.pooling, Pooling::mean);
  EXPECT_FALSE(Checkpoint(path()).config().bert.normalize);
}

TEST_F(BertCheckpoint, LengthOfTexts) {
  const std::string encoder = file("sentence_bert_config.json");
  test::write_bytes(encoder, R"({"max_seq_length": 512})");
  EXPECT_EQ(Checkpoint(path()).config().bert.max_seq_length, 40) << "the model has no more positions";
  test::write_bytes(encoder, R"({"max_seq_length": null})");
  replace_in_file(file("tokenizer_config.json"), "\"model_max_length\": 40", "\"model_max_length\": 32");
  EXPECT_EQ(Checkpoint(path()).config().bert.max_seq_length, 32);
  replace_in_file(file("tokenizer_config.json"), "\"model_max_length\": 32",
                  "\"model_max_length\": 1000000000000000019884624838656");
  EXPECT_EQ(Checkpoint(path()).config().bert.max_seq_length, 40);
  test::write_bytes(encoder, R"({"max_seq_length": 1})");
  expect_refused({"sentence_bert_config.json: max_seq_length: expected a number of at least 2, found 1"});
  test::write_bytes(encoder, R"({"do_lower_case": true})");
  expect_refused({"do_lower_case: expected false", "found true"});
}

TEST_F(BertCheckpoint, TokenizersThatDoNotFit) {
  const auto refuse = [&](const std::vector<std::string>& parts) {
    const Checkpoint checkpoint(path());
    expect_error([&] { static_cast<void>(text::model_text(checkpoint)); }, parts);
  };
  std::filesystem::remove(file("tokenizer.json"));
  test::write_bytes(file("vocab.txt"), test::read_bytes(file("vocab.txt")) + "onemore\n");
  refuse({"vocab.txt: the tokenizer has 529 tokens, the model a vocab_size of 528"});
  std::filesystem::remove(file("vocab.txt"));
  refuse({"expected tokenizer.json or vocab.txt"});
  std::filesystem::copy_file(test::golden_path("tokenizers/nfc-tokenizer.json"), file("tokenizer.json"));
  refuse({"tokenizer.json: expected a WordPiece tokenizer for model_type bert, found byte_level_bpe"});
}

TEST_F(BertCheckpoint, EveryWayToKeepIt) {
  const Checkpoint checkpoint(path());
  const std::string file = dir_.file("m.rotor");
  std::set<std::string> names;
  for (const DenseType layers : {DenseType::f32, DenseType::f16, DenseType::q8}) {
    for (const DenseType embeddings : {DenseType::f32, DenseType::f16, DenseType::q8}) {
      test::export_encoder(path(), file, {.layers = layers, .embeddings = embeddings});
      const RotorFile rotor(file);
      EXPECT_EQ(rotor.verify(), std::vector<std::string>());
      EXPECT_EQ(rotor.dense_format().layers, layers);
      EXPECT_EQ(rotor.dense_format().type, embeddings);
      EXPECT_EQ(rotor.dense("encoder.layer.1.output.dense.weight").type, layers);
      EXPECT_EQ(rotor.dense("embeddings.position_embeddings.weight").type, embeddings);
      names.insert(embedding_fingerprint(rotor));
      const RotorSource source(file);
      for (const TensorSpec& spec : tensor_table(source.config())) {
        const auto found = source.tensor(spec);
        const auto expected = checkpoint.tensor(spec);
        ASSERT_EQ(found.size(), expected.size());
        for (size_t i = 0; i < found.size(); ++i) {
          // int8: half a step of a row's largest value, below 8 here; binary16: 2^-11 of the value.
          ASSERT_NEAR(found[i], expected[i], spec.role == TensorRole::vector ? 0.0 : 8.0 / 127 / 2)
              << spec.name;
        }
      }
    }
  }
  EXPECT_EQ(names.size(), 9U);
}

TEST_F(BertCheckpoint, TheFingerprintKnowsPoolingAndTokenizer) {
  const auto fingerprint = [&] {
    test::export_encoder(path(), dir_.file("m.rotor"));
    return embedding_fingerprint(RotorFile(dir_.file("m.rotor")));
  };
  const std::string first = fingerprint();
  EXPECT_EQ(fingerprint(), first);
  test::write_bytes(file("1_Pooling/config.json"), R"({"pooling_mode": "cls"})");
  const std::string second = fingerprint();
  EXPECT_NE(second, first);
  std::filesystem::remove(file("tokenizer.json"));
  EXPECT_EQ(fingerprint(), second) << "vocab.txt is the same tokenizer";
  replace_in_file(file("tokenizer_config.json"), "\"do_lower_case\": true", "\"do_lower_case\": false");
  EXPECT_NE(fingerprint(), second);
}

}  // namespace
}  // namespace rotor
