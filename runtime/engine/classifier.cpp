// Threads take batches from a shared counter; the calling thread works too and reports progress.
#include "runtime/engine/classifier.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime {

Classifier::Classifier(const RotorFile& file)
    : file_(file), model_(file), pixel_table_(pixel_table(file.config().mlp)) {}

void Classifier::predict_into(Backend& backend, Mlp::Workspace& workspace, const uint8_t* pixels,
                              std::span<int64_t> classes) const {
  const auto inputs = static_cast<size_t>(workspace.input.cols);
  const auto count = static_cast<int64_t>(classes.size());
  if (workspace.input.rows != count) workspace = model_.make_workspace(backend, count);
  thread_local std::vector<float> values;
  values.resize(classes.size() * inputs);
  for (size_t i = 0; i < values.size(); ++i) values[i] = pixel_table_[pixels[i]];
  backend.upload(values, workspace.input);
  const Tensor& logits = model_.forward(backend, workspace);
  thread_local std::vector<float> scores;
  scores.resize(static_cast<size_t>(logits.rows * logits.cols));
  backend.download(logits, scores);
  for (size_t i = 0; i < classes.size(); ++i) {
    const auto first = scores.begin() + static_cast<std::ptrdiff_t>(i) * logits.cols;
    classes[i] = std::max_element(first, first + logits.cols) - first;
  }
}

std::vector<int64_t> Classifier::predict(Backend& backend, const uint8_t* pixels, int64_t count,
                                         int64_t batch) const {
  std::vector<int64_t> classes(static_cast<size_t>(count));
  const auto held = backend.hold(model_.weights());
  Mlp::Workspace workspace = model_.make_workspace(backend, std::min(count, batch));
  const int64_t inputs = model_.config().mlp.layer_sizes.front();
  for (int64_t first = 0; first < count; first += batch) {
    const auto size = static_cast<size_t>(std::min(batch, count - first));
    predict_into(backend, workspace, pixels + first * inputs,
                 std::span(classes).subspan(static_cast<size_t>(first), size));
  }
  return classes;
}

ClassifyResult Classifier::evaluate(Backend& backend, const IdxDataset& data,
                                    const ClassifyOptions& options) const {
  const auto start = std::chrono::steady_clock::now();
  const auto count = static_cast<int64_t>(data.count);
  const auto classes = static_cast<size_t>(model_.config().mlp.num_classes());
  const int64_t batch = std::clamp<int64_t>(options.batch, 1, std::max<int64_t>(count, 1));
  const int64_t threads = std::min(options.threads, (count + batch - 1) / batch);
  ClassifyResult result;
  result.predictions.assign(data.count, -1);
  result.confusion.assign(classes, std::vector<int64_t>(classes));

  const auto held = backend.hold(model_.weights());
  std::atomic<int64_t> next = 0;
  std::atomic<int64_t> done = 0;
  std::atomic<bool> stop = false;
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&](bool reports) {
    try {
      Mlp::Workspace workspace = model_.make_workspace(backend, batch);
      for (int64_t first; !stop && (first = next.fetch_add(batch)) < count;) {
        const auto size = static_cast<size_t>(std::min(batch, count - first));
        const auto at = static_cast<size_t>(first);
        predict_into(backend, workspace, data.pixels.data() + at * data.image_size(),
                     std::span(result.predictions).subspan(at, size));
        done += static_cast<int64_t>(size);
        if (reports && options.on_progress && !options.on_progress(done)) stop = true;
      }
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      error = std::current_exception();
      stop = true;
    }
  };
  {
    std::vector<std::jthread> helpers;  // joined at the end of the scope, also when a later one cannot start
    try {
      for (int64_t i = 1; i < threads; ++i) helpers.emplace_back(work, false);
    } catch (const std::system_error& e) {
      stop = true;
      fail("cannot start ", threads, " threads: ", e.what(), "; use fewer with -t");
    }
    work(true);
  }
  if (error) std::rethrow_exception(error);
  file_.check_intact();

  for (size_t i = 0; i < data.count; ++i) {
    if (result.predictions[i] < 0) continue;
    ++result.total;
    ++result.confusion[data.labels[i]][static_cast<size_t>(result.predictions[i])];
    if (std::cmp_equal(result.predictions[i], data.labels[i])) ++result.correct;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace rotor::runtime
