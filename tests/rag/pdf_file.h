// PDFs, written by hand (ISO 32000-1): pages of lines in Helvetica.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "rotor/core/error.h"

namespace rotor::test {

/// Each page a list of paragraphs of one line; a page without any is empty, as a scan is. `encryption`: the
/// dictionary, "" for none.
inline std::string pdf_file(const std::vector<std::vector<std::string>>& pages,
                            const std::string& encryption = "") {
  std::vector<std::string> objects = {
      "<< /Type /Catalog /Pages 2 0 R >>", "",
      "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"};
  std::string kids;
  for (const auto& paragraphs : pages) {
    std::string content = "BT /F1 12 Tf 72 720 Td 60 TL\n";
    for (const std::string& paragraph : paragraphs) content += cat('(', paragraph, ") Tj T*\n");
    content += "ET";
    objects.push_back(cat("<< /Length ", content.size(), " >>\nstream\n", content, "\nendstream"));
    objects.push_back(cat("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents ", objects.size(),
                          " 0 R /Resources << /Font << /F1 3 0 R >> >> >>"));
    kids += cat(objects.size(), " 0 R ");
  }
  objects[1] = cat("<< /Type /Pages /Kids [", kids, "] /Count ", pages.size(), " >>");
  if (!encryption.empty()) objects.push_back(encryption);
  std::string file = "%PDF-1.4\n";
  std::string table;
  for (size_t i = 0; i < objects.size(); ++i) {
    char entry[32];
    std::snprintf(entry, sizeof entry, "%010zu 00000 n \n", file.size());
    table += entry;
    file += cat(i + 1, " 0 obj\n", objects[i], "\nendobj\n");
  }
  const size_t begin = file.size();
  file += cat("xref\n0 ", objects.size() + 1, "\n0000000000 65535 f \n", table, "trailer\n<< /Size ",
              objects.size() + 1, " /Root 1 0 R");
  if (!encryption.empty()) file += cat(" /Encrypt ", objects.size(), " 0 R /ID [<00> <00>]");
  return file + cat(" >>\nstartxref\n", begin, "\n%%EOF\n");
}

}  // namespace rotor::test
