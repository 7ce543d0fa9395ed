from wirebook.core.decode.scanner cimport Scanner


cdef class BinanceScanner(Scanner):
    pass


cdef class BinanceFuturesScanner(BinanceScanner):
    pass
