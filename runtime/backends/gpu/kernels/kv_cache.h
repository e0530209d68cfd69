// The cache of a layer: pages of page_tokens tokens, in units of four dimensions of one token: keys
// [head][unit][token], so that work items which share out tokens read neighbours, then from values_first on
// values [head][token][unit], so that those which share out dimensions do. D4 units a head, the last one padded
// with zeros. int8 codes have a scale a token and head, in each page keys' before values'. `step` holds from
// `slot` on two words a row: its token's number, and where the list of its text's pages begins (from `slot`).
#if TYPE == 0
#define unit_t uvec4
#define UNIT_VALUES(unit) VEC4(AS_FLOAT((unit).x), AS_FLOAT((unit).y), AS_FLOAT((unit).z), AS_FLOAT((unit).w))
#define UNIT_OF(a, b, c, d) UVEC4(AS_UINT(a), AS_UINT(b), AS_UINT(c), AS_UINT(d))
#elif TYPE == 1
#define unit_t uvec2
#define UNIT_VALUES(unit) TWO_WORDS((unit).x, (unit).y)
#define UNIT_OF(a, b, c, d) UVEC2(to_half(a) | to_half(b) << 16u, to_half(c) | to_half(d) << 16u)
#else
#define unit_t uint
#define UNIT_VALUES(unit) unpack_codes(unit)
#define CODE(v) (UINT(INT(fmax(-128.0f, fmin(127.0f, ROUND_EVEN(v))))) & 255u)
#define UNIT_OF(a, b, c, d) (CODE(a) | CODE(b) << 8u | CODE(c) << 16u | CODE(d) << 24u)
#endif
#define ROW_TOKEN(row) step[p.slot + 2u * (row)]
#define ROW_PAGES(row) (p.slot + step[p.slot + 2u * (row) + 1u])
#define PAGE_OF(pages, token) step[(pages) + ((token) >> p.page_shift)]
#define IN_PAGE(token) ((token) & ((1u << p.page_shift) - 1u))
#define KEY_PLACE(page, head, unit, in_page) \
  ((page) * 2u * p.values_first + ((head) * D4 + (unit)) * p.page_tokens + (in_page))
#define VALUE_PLACE(page, head, unit, in_page) \
  ((page) * 2u * p.values_first + p.values_first + ((head) * p.page_tokens + (in_page)) * D4 + (unit))
#define SCALE_PLACE(page, kind, head, in_page) \
  ((((page) * 2u + (kind)) * p.heads + (head)) * p.page_tokens + (in_page))
