/* Decodes a part of a JPEG: rows above it are entropy-decoded only, columns beside it are left out as far as blocks
 * allow, rows below it are not read. No state outlives a call, so any number of threads may call at a time.
 *
 * Pixels equal those of decoding the whole picture with the same library: libjpeg smooths colour across the border of
 * what it decodes, so MARGIN_PX more than was asked for is decoded on each side, and handed over as well.
 *
 * Every function returns a status below and, unless that is STATUS_OK, a line of text in `message`.
 * Built by the Makefile's target `crop-decoder`, and for wheels by `wheels`; loaded by jpeg_region.py through ctypes.
 */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* The texts of libjpeg's messages, by code: its header makes the table where this macro is defined. libjpeg's own
 * error manager is not used, for it needs `stderr`, which a static library compiled for programs reaches in a way that
 * a shared one cannot. */
#define JMESSAGE(code, text) text,
#define JCOPYRIGHT_SHORT ""
#define JVERSION ""
static const char *const message_texts[] = {
#include <jerror.h>
    NULL};

#define EXPORT __attribute__((visibility("default")))
#define TEXT_OF(token) #token
#define TEXT_OF_VALUE(macro) TEXT_OF(macro)

enum {
    STATUS_OK = 0,
    STATUS_DAMAGED = 1,     /* libjpeg failed, or warned of data that make no sense */
    STATUS_UNSUPPORTED = 2, /* sound, perhaps, but for a decoder of whole pictures */
    STATUS_NO_MEMORY = 3,
    STATUS_NO_ROOM = 4,     /* the caller's buffer is too small; `decoded` says what is needed */
    STATUS_BAD_WINDOW = 5   /* not inside the picture */
};

enum { MESSAGE_BYTES = JMSG_LENGTH_MAX, NUM_CHANNELS = 3, MARGIN_PX = 2, SCALE_DENOMINATOR = 8, MAX_SCANS = 500 };

/* Rows [top, top + height), columns [left, left + width). */
typedef struct {
    int32_t top, left, height, width;
} window_px;

/* A window of the whole picture, and how many of its eighths in width and height to decode: 8, 4, 2 or 1. */
typedef struct {
    window_px window;
    int32_t eighths;
} region_request;

typedef struct {
    struct jpeg_error_mgr errors; /* first, so that libjpeg's pointer to it is one to this struct */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf on_error;
    char *message;
} decoder;

static void write_message(j_common_ptr jpeg, char *message) {
    const struct jpeg_error_mgr *errors = jpeg->err;
    int code = errors->msg_code > 0 && errors->msg_code < JMSG_LASTMSGCODE ? errors->msg_code : JMSG_NOMESSAGE;
    const char *text = message_texts[code];
    const int *i = errors->msg_parm.i;
    if (strstr(text, "%s"))
        snprintf(message, MESSAGE_BYTES, text, errors->msg_parm.s);
    else
        snprintf(message, MESSAGE_BYTES, text, i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7]);
}

static void fail(j_common_ptr jpeg) {
    decoder *self = (decoder *)jpeg->err;
    if (self->errors.num_warnings == 0) /* the first warning is closer to the cause */
        write_message(jpeg, self->message);
    longjmp(self->on_error, 1);
}

static void note(j_common_ptr jpeg, int level) {
    if (level < 0 && jpeg->err->num_warnings++ == 0) write_message(jpeg, ((decoder *)jpeg->err)->message);
}

static void print_nothing(j_common_ptr jpeg) { (void)jpeg; }

static void forget(j_common_ptr jpeg) {
    jpeg->err->num_warnings = 0;
    jpeg->err->msg_code = 0;
}

/* A progressive picture of a few kilobytes can hold scans that take minutes. */
static void limit_scans(j_common_ptr jpeg) {
    decoder *self = (decoder *)jpeg->err;
    if (self->jpeg.input_scan_number <= MAX_SCANS) return;
    snprintf(self->message, MESSAGE_BYTES, "expected at most %d scans, found more", MAX_SCANS);
    jpeg->err->num_warnings++;
    longjmp(self->on_error, 1);
}

static int status_of_error(const decoder *self) {
    if (self->errors.num_warnings) return STATUS_DAMAGED;
    switch (self->errors.msg_code) {
    case JERR_OUT_OF_MEMORY: return STATUS_NO_MEMORY;
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED: return STATUS_UNSUPPORTED;
    default: return STATUS_DAMAGED;
    }
}

/* The caller has called setjmp: an error from here on jumps there. */
static void begin(decoder *self, const uint8_t *data, uint64_t num_bytes) {
    jpeg_create_decompress(&self->jpeg);
    self->progress.progress_monitor = limit_scans;
    self->jpeg.progress = &self->progress;
    jpeg_mem_src(&self->jpeg, data, (unsigned long)num_bytes);
    jpeg_read_header(&self->jpeg, TRUE);
}

static void prepare(decoder *self, char *message) {
    memset(self, 0, sizeof *self);
    self->jpeg.err = &self->errors;
    self->errors.error_exit = fail;
    self->errors.emit_message = note;
    self->errors.output_message = print_nothing;
    self->errors.format_message = write_message;
    self->errors.reset_error_mgr = forget;
    self->message = message;
    message[0] = '\0';
}

static int check_kind(const decoder *self) {
    const struct jpeg_decompress_struct *jpeg = &self->jpeg;
    int is_colour = jpeg->jpeg_color_space == JCS_YCbCr || jpeg->jpeg_color_space == JCS_RGB;
    if (!is_colour && jpeg->jpeg_color_space != JCS_GRAYSCALE) {
        snprintf(self->message, MESSAGE_BYTES, "%d components that are neither RGB, YCbCr nor grey",
                 jpeg->num_components);
        return STATUS_UNSUPPORTED;
    }
    if (jpeg->arith_code) { /* rare enough to be left to decoders of whole pictures */
        snprintf(self->message, MESSAGE_BYTES, "arithmetic coding");
        return STATUS_UNSUPPORTED;
    }
    return STATUS_OK;
}

static int check_request(const decoder *self, const region_request *request) {
    const struct jpeg_decompress_struct *jpeg = &self->jpeg;
    const window_px *window = &request->window;
    int64_t bottom = (int64_t)window->top + window->height, right = (int64_t)window->left + window->width;
    int is_inside = window->top >= 0 && window->left >= 0 && window->height >= 1 && window->width >= 1 &&
                    bottom <= jpeg->image_height && right <= jpeg->image_width;
    if (is_inside && request->eighths >= 1 && request->eighths <= SCALE_DENOMINATOR) return STATUS_OK;
    snprintf(self->message, MESSAGE_BYTES, "expected a part of %u rows and %u columns, got rows [%d, %lld), columns [%d, %lld)",
             jpeg->image_height, jpeg->image_width, window->top, (long long)bottom, window->left, (long long)right);
    return STATUS_BAD_WINDOW;
}

/* From a window's rows or columns [first, first + num) to those decoded of the `scaled` ones that a picture has. */
static void place(int64_t first, int64_t num, int32_t eighths, JDIMENSION scaled, int32_t *start, int32_t *length) {
    int64_t begin = first * eighths / SCALE_DENOMINATOR - MARGIN_PX;
    int64_t end = ((first + num) * eighths + SCALE_DENOMINATOR - 1) / SCALE_DENOMINATOR + MARGIN_PX;
    *start = begin > 0 ? (int32_t)begin : 0;
    *length = (int32_t)(end < scaled ? end : scaled) - *start;
}

static int scale(decoder *self, const region_request *request, window_px *decoded) {
    struct jpeg_decompress_struct *jpeg = &self->jpeg;
    const window_px *window = &request->window;
    int status = check_request(self, request);
    if (status != STATUS_OK) return status;
    jpeg->out_color_space = JCS_RGB;
    jpeg->scale_num = (unsigned)request->eighths;
    jpeg->scale_denom = SCALE_DENOMINATOR;
    jpeg_calc_output_dimensions(jpeg);
    place(window->top, window->height, request->eighths, jpeg->output_height, &decoded->top, &decoded->height);
    place(window->left, window->width, request->eighths, jpeg->output_width, &decoded->left, &decoded->width);
    return STATUS_OK;
}

static int read_rows(decoder *self, uint8_t *pixels, uint64_t capacity, window_px *decoded) {
    struct jpeg_decompress_struct *jpeg = &self->jpeg;
    JDIMENSION left = (JDIMENSION)decoded->left, width = (JDIMENSION)decoded->width;
    if (width < jpeg->output_width) jpeg_crop_scanline(jpeg, &left, &width); /* moves `left` to a block's border */
    decoded->left = (int32_t)left;
    decoded->width = (int32_t)width;
    size_t row_bytes = (size_t)width * NUM_CHANNELS;
    if ((uint64_t)decoded->height * row_bytes > capacity) {
        snprintf(self->message, MESSAGE_BYTES, "room for %llu bytes, %llu needed", (unsigned long long)capacity,
                 (unsigned long long)decoded->height * row_bytes);
        return STATUS_NO_ROOM;
    }
    if (decoded->top) jpeg_skip_scanlines(jpeg, (JDIMENSION)decoded->top);
    JDIMENSION end = (JDIMENSION)(decoded->top + decoded->height);
    while (jpeg->output_scanline < end) {
        JSAMPROW rows[4]; /* of two, libjpeg-turbo would copy through a buffer of its own */
        JDIMENSION missing = end - jpeg->output_scanline;
        for (int i = 0; i < 4; i++) rows[i] = pixels + (size_t)i * row_bytes;
        pixels += jpeg_read_scanlines(jpeg, rows, missing < 4 ? missing : 4) * row_bytes;
        if (self->errors.num_warnings) return STATUS_DAMAGED;
    }
    return STATUS_OK;
}

/* Writes RGB pixels that hold the window of `request`, in rows of decoded->width * 3 bytes without gaps; `decoded` is
 * what they are in the picture at its scale. */
EXPORT int packer_jpeg_region(const uint8_t *data, uint64_t num_bytes, const region_request *request, uint8_t *pixels,
                              uint64_t capacity, window_px *decoded, char *message) {
    decoder self;
    prepare(&self, message);
    if (setjmp(self.on_error)) {
        jpeg_destroy_decompress(&self.jpeg);
        return status_of_error(&self);
    }
    begin(&self, data, num_bytes);
    int status = check_kind(&self);
    if (status == STATUS_OK) status = scale(&self, request, decoded);
    if (status == STATUS_OK) {
        jpeg_start_decompress(&self.jpeg);
        status = read_rows(&self, pixels, capacity, decoded);
    }
    if (status == STATUS_OK && self.errors.num_warnings) status = STATUS_DAMAGED;
    jpeg_destroy_decompress(&self.jpeg);
    return status;
}

/* The library that decodes, such as "libjpeg-turbo 2.1.5". */
EXPORT const char *packer_jpeg_library(void) { return "libjpeg-turbo " TEXT_OF_VALUE(LIBJPEG_TURBO_VERSION); }
