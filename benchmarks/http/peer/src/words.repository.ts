import { Inject, Injectable } from '@nestjs/common';
import { asc, count } from 'drizzle-orm';
import { DATABASE, Database } from './database.module';
import { words } from './schema';

export type Word = typeof words.$inferSelect;

@Injectable()
export class WordsRepository {
  constructor(@Inject(DATABASE) private readonly database: Database) {}

  findPage(limit: number, offset: number): Promise<Word[]> {
    return this.database.select().from(words).orderBy(asc(words.createdAt), asc(words.id)).limit(limit).offset(offset);
  }

  async count(): Promise<number> {
    const [row] = await this.database.select({ total: count() }).from(words);
    return row.total;
  }
}
