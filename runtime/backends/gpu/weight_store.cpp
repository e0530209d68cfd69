// Regions are kept by address; whoever holds some of them keeps their buffers alive.
#include "runtime/backends/gpu/weight_store.h"

#include <algorithm>
#include <numeric>

#include "rotor/core/error.h"

namespace rotor::runtime::gpu {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kFileAlignment = 256;  // of tensors in .rotor files
constexpr uint64_t kChunk = uint64_t{1} << 28;

uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Offsets in buffers: what the device wants, and what vectors of 16 words want.
uint64_t alignment_of(const Device& device) {
  return std::max(device.info().offset_alignment, kFileAlignment);
}

}  // namespace

struct WeightStore::Holder {
  std::vector<std::shared_ptr<Region>> regions;
};

std::shared_ptr<WeightStore::Region> WeightStore::known(const uint8_t* begin) {
  auto after = regions_.upper_bound(begin);
  if (after == regions_.begin()) return nullptr;
  --after;
  auto region = after->second.lock();
  if (region == nullptr) {
    regions_.erase(after);
    return nullptr;
  }
  return begin < region->begin + region->size ? region : nullptr;
}

std::shared_ptr<void> WeightStore::hold(std::span<const WeightBytes> weights) {
  std::erase_if(regions_, [](const auto& entry) { return entry.second.expired(); });
  std::vector<WeightBytes> sorted(weights.begin(), weights.end());
  std::erase_if(sorted, [](const WeightBytes& w) { return w.bytes.empty(); });
  std::ranges::sort(sorted, {}, [](const WeightBytes& w) { return w.bytes.data(); });
  const auto same = std::ranges::unique(sorted, {}, [](const WeightBytes& w) { return w.bytes.data(); });
  sorted.erase(same.begin(), same.end());
  auto holder = std::make_shared<Holder>();
  std::vector<WeightBytes> lacking;
  for (const WeightBytes& weight : sorted) {
    const uint8_t* end = weight.bytes.data() + weight.bytes.size();
    bool whole = true;
    std::vector<std::shared_ptr<Region>> found;
    for (const uint8_t* at = weight.bytes.data(); whole && at < end;) {
      found.push_back(known(at));
      whole = found.back() != nullptr;
      if (whole) at = found.back()->begin + found.back()->size;
    }
    if (whole) {
      holder->regions.insert(holder->regions.end(), found.begin(), found.end());
    } else {
      lacking.push_back(weight);
    }
  }
  const size_t first = holder->regions.size();
  if (!import(lacking, holder->regions)) copy(lacking, holder->regions);
  for (size_t i = first; i < holder->regions.size(); ++i) {
    regions_[holder->regions[i]->begin] = holder->regions[i];
  }
  return holder;
}

bool WeightStore::import(std::span<const WeightBytes> weights,
                         std::vector<std::shared_ptr<Region>>& regions) {
  if (!device_.info().unified_memory || device_.info().offset_alignment > kFileAlignment) return false;
  const auto address = [](const uint8_t* p) { return reinterpret_cast<uint64_t>(p); };
  const auto begin_of = [&](const WeightBytes& w) { return address(w.bytes.data()) / kPage * kPage; };
  const auto end_of = [&](const WeightBytes& w) {
    return round_up(address(w.bytes.data() + w.bytes.size()), kPage);
  };
  std::vector<std::shared_ptr<Region>> found;
  for (size_t i = 0; i < weights.size();) {
    // Neighbours, up to a page apart, share a buffer.
    const uint64_t begin = begin_of(weights[i]);
    uint64_t end = end_of(weights[i]);
    size_t next = i + 1;
    while (next < weights.size() && begin_of(weights[next]) <= end &&
           end_of(weights[next]) - begin <= device_.info().largest_buffer) {
      end = std::max(end, end_of(weights[next++]));
    }
    const auto buffer = device_.import({reinterpret_cast<const uint8_t*>(begin), end - begin});
    if (buffer == nullptr) return false;
    for (; i < next; ++i) {
      const uint64_t offset = address(weights[i].bytes.data()) - begin;
      if (offset % kFileAlignment != 0) return false;
      found.push_back(
          std::make_shared<Region>(Region{weights[i].bytes.data(), weights[i].bytes.size(), buffer, offset}));
    }
  }
  regions.insert(regions.end(), found.begin(), found.end());
  return true;
}

void WeightStore::copy(std::span<const WeightBytes> weights, std::vector<std::shared_ptr<Region>>& regions) {
  const uint64_t alignment = alignment_of(device_);
  const uint64_t largest = device_.info().largest_buffer / alignment * alignment;
  std::vector<std::shared_ptr<Region>> chunk;  // that shares the next buffer
  uint64_t used = 0;
  const auto close = [&] {
    if (chunk.empty()) return;
    const auto buffer = device_.allocate(used, false);
    for (const auto& region : chunk) {
      region->buffer = buffer;
      device_.write(*buffer, region->offset, {region->begin, region->size});
    }
    regions.insert(regions.end(), chunk.begin(), chunk.end());
    chunk.clear();
    used = 0;
  };
  for (const WeightBytes& weight : weights) {
    const uint64_t most = std::max<uint64_t>(largest / weight.unit, 1) * weight.unit;
    for (uint64_t done = 0; done < weight.bytes.size();) {
      const uint64_t size = std::min<uint64_t>(most, weight.bytes.size() - done);
      if (used > 0 && (used + size > largest || used + size > kChunk)) close();
      chunk.push_back(std::make_shared<Region>(Region{weight.bytes.data() + done, size, nullptr, used}));
      used += round_up(size, alignment);
      done += size;
    }
  }
  close();
}

std::vector<WeightStore::Piece> WeightStore::find(std::span<const uint8_t> bytes, uint64_t unit,
                                                  uint64_t most) {
  const uint64_t alignment = alignment_of(device_);
  // Units that end where a binding may begin.
  const uint64_t step = alignment / std::gcd(alignment, unit);
  most = std::min(most, device_.info().largest_binding / unit);
  if (most < std::min(step, bytes.size() / unit)) {
    fail(device_.info().name, ": rows of ", unit, " bytes: kernels see at most ",
         device_.info().largest_binding, " bytes at once");
  }
  // Other weights may have lain here, and be held still: what follows must be a unit that a binding can
  // begin.
  const auto usable = [&](const std::shared_ptr<Region>& region, const uint8_t* at) {
    if (region == nullptr || at < region->begin || at + unit > region->begin + region->size) return false;
    return (region->offset + static_cast<uint64_t>(at - region->begin)) % alignment == 0;
  };
  const uint64_t largest =
      std::max<uint64_t>(device_.info().largest_buffer / alignment * alignment / unit, 1);
  std::vector<Piece> pieces;
  std::shared_ptr<Region> copied;  // for the pieces alone
  for (uint64_t done = 0; done < bytes.size();) {
    const uint8_t* at = bytes.data() + done;
    auto region = usable(copied, at) ? copied : known(at);
    if (!usable(region, at)) {
      std::vector<std::shared_ptr<Region>> regions;
      const WeightBytes lacking{bytes.subspan(done, std::min(largest * unit, bytes.size() - done)), unit};
      copy({&lacking, 1}, regions);
      copied = region = regions.front();
    }
    const uint64_t skipped = static_cast<uint64_t>(at - region->begin);
    uint64_t units = std::min<uint64_t>(region->size - skipped, bytes.size() - done) / unit;
    if (units > most) units = most / step * step;
    // Kernels read vectors of 16 bytes; buffers go on to the end of the last one.
    const uint64_t offset = region->offset + skipped;
    const uint64_t size = std::min(round_up(units * unit, 16), region->buffer->size() - offset);
    pieces.push_back({{region->buffer, offset, size}, done / unit, units});
    done += units * unit;
  }
  return pieces;
}

Binding WeightStore::find_whole(std::span<const uint8_t> bytes) {
  return find(bytes, bytes.size(), 1).front().binding;
}

}  // namespace rotor::runtime::gpu
