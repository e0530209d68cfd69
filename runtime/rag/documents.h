// All documents of a base, or those that a filter wants, some at a time: a base may have more than memory
// holds.
#pragma once

#include <functional>

#include "runtime/rag/store.h"

namespace rotor::runtime::rag {

/// False: no more.
using OnRecord = std::function<bool(const DocumentRecord&)>;

/// By id, in one state of the base.
void for_each_document(Snapshot& snapshot, const Filter& filter, const OnRecord& on_document);
/// By id. No state of the base is held meanwhile, so `on_document` may change it; documents that come behind
/// its own are met, too.
void for_each_document(Store& store, const Filter& filter, const OnRecord& on_document);

}  // namespace rotor::runtime::rag
