"""The article's test, one octet in each packet, as character-mode telnet sends it."""

import article
from lab import done

article.run(by_octet=True)
done()
