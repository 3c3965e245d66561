"""The article's test, one line in each packet."""

import article
from lab import done

article.run(by_octet=False)
done()
