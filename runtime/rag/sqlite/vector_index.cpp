// An exact index. On disk: the header below, the ids, the vectors, and a checksum over all three.
#include "runtime/rag/sqlite/vector_index.h"

#include <faiss/IndexFlat.h>
#include <faiss/impl/IDSelector.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <future>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/mapped_file.h"

namespace rotor::runtime::rag {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's numbers are little-endian");

constexpr std::array<char, 8> kMagic = {'R', 'O', 'T', 'O', 'R', 'V', 'E', '1'};
constexpr size_t kChecksumSize = 16;

struct Header {
  std::array<char, 8> magic = kMagic;
  std::array<char, 16> base = {};
  int64_t generation = 0;
  int64_t dimensions = 0;
  int64_t rows = 0;
};

std::span<const uint8_t> bytes_of(const auto& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(values[0])};
}

}  // namespace

struct VectorIndex::Faiss {
  faiss::IndexFlatIP index;
};

VectorIndex::VectorIndex(int64_t dimensions)
    : faiss_(new Faiss{faiss::IndexFlatIP(dimensions)}), screen_(static_cast<size_t>(dimensions)) {}

VectorIndex::VectorIndex(const VectorIndex& other)
    : faiss_(new Faiss(*other.faiss_)), screen_(other.screen_), ids_(other.ids_) {}

VectorIndex::~VectorIndex() = default;

int64_t VectorIndex::dimensions() const {
  return faiss_->index.d;
}

void VectorIndex::add(std::span<const int64_t> ids, std::span<const float> vectors) {
  if (ids.empty()) return;
  faiss_->index.add(std::ssize(ids), vectors.data());
  screen_.add(vectors);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
}

void VectorIndex::remove(std::span<const int64_t> ids) {
  std::vector<faiss::Index::idx_t> rows;
  for (const int64_t id : ids) {
    const auto at = std::ranges::lower_bound(ids_, id);
    if (at != ids_.end() && *at == id) rows.push_back(at - ids_.begin());
  }
  if (rows.empty()) return;
  faiss_->index.remove_ids(faiss::IDSelectorBatch(rows.size(), rows.data()));  // the rows behind move up
  std::ranges::sort(rows);
  screen_.remove(std::vector<size_t>(rows.begin(), rows.end()));
  for (const auto row : rows) ids_[static_cast<size_t>(row)] = -1;
  std::erase(ids_, -1);
}

std::vector<Hit> VectorIndex::search(std::span<const float> vector, int64_t count) const {
  return best_of(screen_.candidates(vector, static_cast<size_t>(std::max<int64_t>(count, 0))), vector, count);
}

std::vector<Hit> VectorIndex::search(std::span<const float> vector, int64_t count,
                                     std::span<const int64_t> among) const {
  std::vector<int32_t> rows;
  auto from = ids_.begin();
  for (const int64_t id : among) {
    from = std::lower_bound(from, ids_.end(), id);
    if (from == ids_.end()) break;
    if (*from == id) rows.push_back(static_cast<int32_t>(from - ids_.begin()));
  }
  return best_of(screen_.candidates(vector, static_cast<size_t>(std::max<int64_t>(count, 0)), rows), vector,
                 count);
}

std::vector<Hit> VectorIndex::best_of(std::span<const int32_t> rows, std::span<const float> vector,
                                      int64_t count) const {
  std::vector<Hit> hits;
  for (const int32_t row : rows) {
    const float* const values = faiss_->index.get_xb() + row * dimensions();
    hits.push_back({ids_[static_cast<size_t>(row)], inner_product(vector, {values, vector.size()})});
  }
  keep_best(hits, count);
  return hits;
}

void VectorIndex::save(const std::string& path, const IndexState& state) const {
  Header header;
  header.generation = state.generation;
  header.dimensions = dimensions();
  header.rows = size();
  if (state.base.size() != header.base.size())
    fail("a base has a name of 16 characters, found \"", state.base, "\"");
  state.base.copy(header.base.data(), header.base.size());
  AtomicFile file(path);
  Checksum sum;
  const auto write = [&](std::span<const uint8_t> bytes) {
    sum.add(bytes);
    file.write(bytes);
  };
  write({reinterpret_cast<const uint8_t*>(&header), sizeof(header)});
  write(bytes_of(ids_));
  write({reinterpret_cast<const uint8_t*>(faiss_->index.get_xb()),
         ids_.size() * static_cast<size_t>(dimensions()) * sizeof(float)});
  file.write(sum.text());
  file.commit();
}

IndexState VectorIndex::load(const std::string& path) {
  const MappedFile file(path);
  const std::span<const uint8_t> bytes = file.bytes();
  Header header;
  if (bytes.size() < sizeof(header) + kChecksumSize)
    fail(path, ": a vector index is longer than ", bytes.size(), " bytes");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic) fail(path, ": this is no vector index of this version");
  if (header.dimensions != dimensions())
    fail(path, ": expected vectors of ", dimensions(), " numbers, found ", header.dimensions);
  const size_t row_bytes = sizeof(int64_t) + static_cast<size_t>(dimensions()) * sizeof(float);
  const size_t body = bytes.size() - sizeof(header) - kChecksumSize;
  if (header.rows < 0 || body % row_bytes != 0 || body / row_bytes != static_cast<size_t>(header.rows))
    fail(path, ": expected ", header.rows, " vectors, found ", body, " bytes, ", row_bytes, " for each");
  // Beside the copying, which takes as long.
  auto is_whole = std::async(std::launch::async, [&] {
    return std::ranges::equal(checksum(bytes.first(bytes.size() - kChecksumSize)), bytes.last(kChecksumSize));
  });
  ids_.resize(static_cast<size_t>(header.rows));
  const uint8_t* const first = bytes.data() + sizeof(header);
  std::memcpy(ids_.data(), first, ids_.size() * sizeof(int64_t));
  faiss_->index.codes.assign(first + ids_.size() * sizeof(int64_t),
                             bytes.data() + bytes.size() - kChecksumSize);
  faiss_->index.ntotal = header.rows;
  screen_.add({faiss_->index.get_xb(), ids_.size() * static_cast<size_t>(dimensions())});
  if (!is_whole.get()) fail(path, ": damaged: its checksum differs");
  return {std::string(header.base.data(), header.base.size()), header.generation};
}

}  // namespace rotor::runtime::rag
